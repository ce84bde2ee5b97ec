"""Does enrolling generated views help? One photo a person against the same plus augmentation, at equal FMR."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdaug.evaluation.gain.chosen import TARGET_FMR, ArmTrials, all_arms
from sdaug.evaluation.gain.faceset import UNREADABLE, YAW_BINS
from sdaug.evaluation.gain.fusion import CANDIDATES
from sdaug.evaluation.gain.intervals import (
    Resampling,
    ci95,
    minimum_detectable_effect,
    ratio_ci95,
    resample,
)
from sdaug.evaluation.gain.material import Material, Recogniser
from sdaug.evaluation.gain.trials import Trials, too_few
from sdaug.evaluation.metrics import fmr

FMR_TARGETS = {"fnmr_at_fmr_1e-2": TARGET_FMR, "fnmr_at_fmr_1e-3": 1e-3}

FRONTAL_BIN = "0-15"


def gain_report(material: Material, replicates: int = 2000) -> dict[str, Any]:
    """The figures of `sdaug evaluate gain`, JSON-able: the pack's own recogniser above, each one in `by_recogniser`."""
    draws = resample(len(material.subjects), replicates)
    by_recogniser = {r.name: recogniser_report(material, r, draws) for r in material.recognisers}
    own = material.recognisers[0].name
    return {
        "schema": "sdaug.gain/1",
        "recogniser": own,
        "subjects": len(material.subjects),
        **by_recogniser[own],
        "probes": {name: int((material.bins == name).sum()) for name in (*YAW_BINS, UNREADABLE)},
        "failures_to_acquire": {"probes": sum(material.lost.values()), "by_yaw": dict(material.lost)},
        "bootstrap": {"unit": "subject", "replicates": len(draws.counts), "interval": "percentile, 95 %"},
        "fusions_chosen_from": [candidate.name for candidate in CANDIDATES],
        "by_recogniser": by_recogniser,
    }


def recogniser_report(material: Material, recogniser: Recogniser, draws: Resampling) -> dict[str, Any]:
    """Arms, gap closed, checks and verdict under one recogniser."""
    arms = all_arms(material, recogniser)
    single = arms["single"]
    assert isinstance(single, ArmTrials)
    replicates = {
        name: draws.fnmr_at_fmr(arm.trials, TARGET_FMR) for name, arm in arms.items() if isinstance(arm, ArmTrials)
    }
    report = {
        name: _missing(arm)
        if isinstance(arm, str)
        else _arm(material, arm, single.trials, replicates[name], replicates["single"])
        for name, arm in arms.items()
    }
    gaps = {name: gap_closed(name, report, replicates) for name in arms if name not in ("single", "real_photos")}
    checks = _checks(report)
    return {"arms": report, "gap_closed": gaps, "checks": checks, "verdict": verdict(report, gaps, checks)}


def _missing(reason: str) -> dict[str, Any]:
    return {**dict.fromkeys(FMR_TARGETS), "ci95": None, "reason": reason}


def _arm(
    material: Material, arm: ArmTrials, single: Trials, replicates: np.ndarray, single_replicates: np.ndarray
) -> dict[str, Any]:
    trials = arm.trials
    figures: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, target in FMR_TARGETS.items():
        reason = too_few(trials.non_mated.size, target)
        # Too few for the interval of a false match rate is no reason to hide the main figure of a small set.
        known = reason is None or (target == TARGET_FMR and trials.non_mated.size * target >= 1)
        figures[name] = trials.fnmr_at_fmr(target) if known else None
        if reason is not None:
            reasons[name] = reason
    threshold = trials.threshold(TARGET_FMR)
    gained = single_replicates - replicates
    used = [fusion.used(own) for fusion, own in zip(arm.fusions, arm.extras, strict=True)]
    return {
        **figures,
        "ci95": list(ci95(replicates)),
        "reasons": reasons,
        "threshold": threshold,
        "mated": int(trials.mated.size),
        "non_mated": int(trials.non_mated.size),
        "mean_non_mated_score": float(trials.non_mated.mean()),
        "fmr_at_threshold_of_single": fmr(trials.non_mated, single.threshold(TARGET_FMR)),
        "by_yaw": {
            name: {"n": int((material.bins == name).sum()), "fnmr": trials.fnmr_of(material.bins == name, TARGET_FMR)}
            for name in (*YAW_BINS, UNREADABLE)
        },
        "by_subject": {
            subject: trials.fnmr_of(material.owner == index, TARGET_FMR)
            for index, subject in enumerate(material.subjects)
        },
        "samples": {
            "offered": max(material.offered * len(arm.extras) if _generated(arm) else 0, sum(map(len, arm.extras))),
            "accepted": sum(extra.accepted for own in arm.extras for extra in own),
            "used": sum(map(len, used)),
            "refusals": dict(Counter(reason for own in arm.extras for extra in own for reason in extra.reasons)),
        },
        "subjects_as_single": sum(not own for own in used),
        "fusions": dict(Counter(fusion.name for fusion in arm.fusions)) if _generated(arm) else None,
        "lower_than_single_by": {
            "value": single.fnmr_at_fmr(TARGET_FMR) - trials.fnmr_at_fmr(TARGET_FMR),
            "ci95": list(ci95(gained)),
            "minimum_detectable_effect": minimum_detectable_effect(gained),
        },
    }


def _generated(arm: ArmTrials) -> bool:
    return any(extra.yaw_deg for own in arm.extras for extra in own)


def gap_closed(
    name: str, report: Mapping[str, Mapping[str, Any]], replicates: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """(single - arm) / (single - real_photos) of FNMR at equal FMR, with its interval over subjects."""
    if name not in replicates or "real_photos" not in replicates:
        missing = name if name not in replicates else "real_photos"
        return {"value": None, "ci95": None, "reason": f"arm {missing}: {report[missing]['reason']}"}
    single, arm, real = (report[key]["fnmr_at_fmr_1e-2"] for key in ("single", name, "real_photos"))
    if None in (single, arm, real) or single <= real:
        return {"value": None, "ci95": None, "reason": f"no gap: single {single}, real_photos {real}"}
    interval = ratio_ci95(replicates["single"] - replicates[name], replicates["single"] - replicates["real_photos"])
    closed: dict[str, Any] = {"value": (single - arm) / (single - real), "ci95": interval and list(interval)}
    if interval is None:
        closed["reason"] = "no interval: in more than 2.5 % of the resamples there is no gap to close"
    return closed


def _checks(report: Mapping[str, Mapping[str, Any]]) -> dict[str, bool | None]:
    """What must hold if evaluator and product are sane; None where an arm or a probe is missing."""

    def rate(name: str) -> float | None:
        return report[name]["fnmr_at_fmr_1e-2"]

    def frontal(name: str) -> float | None:
        return None if rate(name) is None else report[name]["by_yaw"][FRONTAL_BIN]["fnmr"]

    product = product_arm(report)
    return {
        "wrong_person_hurts": _above(rate("wrong_person"), rate("single")),
        "real_photos_help": _above(rate("single"), rate("real_photos")),
        "no_loss_within_yaw_15": None
        if (before := frontal("single")) is None or (after := frontal(product)) is None
        else after <= before,
    }


def _above(a: float | None, b: float | None) -> bool | None:
    return None if a is None or b is None else a > b


def product_arm(report: Mapping[str, Mapping[str, Any]]) -> str:
    """The arm a user would enrol: diffusion where it could be had, else the warp."""
    return "warp" if report["diffusion"]["fnmr_at_fmr_1e-2"] is None else "diffusion"


def verdict(
    report: Mapping[str, Mapping[str, Any]], gaps: Mapping[str, Mapping[str, Any]], checks: Mapping[str, bool | None]
) -> str:
    """One plain sentence; begins with `gain`, `no gain`, `loss` or `not told`."""
    name = product_arm(report)
    arm = report[name]
    if arm["fnmr_at_fmr_1e-2"] is None or report["single"]["fnmr_at_fmr_1e-2"] is None:
        return f"not told: arm {name}: {arm.get('reason') or '; '.join(arm.get('reasons', {}).values())}"
    if checks["wrong_person_hurts"] is False:
        return "not told: another person's views do not hurt here, so these probes cannot tell good from bad"
    gained = arm["lower_than_single_by"]
    low, high = gained["ci95"]
    word = "gain" if low > 0 else "loss" if high < 0 else "no gain"
    share = gaps[name]["value"]
    closed = "" if share is None else f", {share:.0%} of the gap to three real photos"
    unseen = f"; below {gained['minimum_detectable_effect']:.3f} nothing would be seen" if word == "no gain" else ""
    return (
        f"{word}: {name} takes FNMR at FMR 1e-2 from {report['single']['fnmr_at_fmr_1e-2']:.3f} to "
        f"{arm['fnmr_at_fmr_1e-2']:.3f}{closed} (lower by {gained['value']:.3f}, 95 % {low:.3f} to {high:.3f}){unseen}"
    )
