"""A plan as JSON and as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdaug.costmodel.device import Device
from sdaug.costmodel.figures import COVERAGE
from sdaug.costmodel.parts import Dtype, PartName, count_part
from sdaug.costmodel.predict import Machine, Prediction, interval_json
from sdaug.planning.peers import Peer, predicted_peers
from sdaug.planning.plan import Planned, full_quality
from sdaug.planning.recommend import Recommendation, recommend
from sdaug.planning.targets import STORAGE_GB_S, Target, process_total, targets

SCHEMA = "sdaug.plan/3"


@dataclass(frozen=True)
class Report:
    """full: of the mission's 20 guided steps with ControlNet. met: the targets, of the recommended setting. peers: what
    somebody would write without this package. half: the format that they and `full` are in."""

    machine: Machine
    budget_gb: float
    target_s: float | None
    planned: tuple[Planned, ...]
    recommendation: Recommendation
    full: Prediction
    met: dict[str, Target]
    peers: tuple[Peer, ...]
    half: Dtype

    @property
    def recommended(self) -> Planned | None:
        """The setting, None where nothing fits."""
        return next((one for one in self.planned if one.asked.name == self.recommendation.name), None)

    @property
    def statements(self) -> list[str]:
        """What the numbers say, in words."""
        full = self.full
        roof = "the measured or assumed roof" if isinstance(self.machine, Device) else "the processor's peak"
        said = [
            f"20 steps with guidance and ControlNet ({full.flops / 1e12:.1f} TFLOP an image, {self.half}) cannot be "
            f"had under {full.roof_s:.2f} s at {roof} of {self.machine.title}, nor under {full.floor_s:.2f} s at its "
            f"peak; {full.seconds.predicted:.2g} s are predicted, {full.seconds.low:.2g} to {full.seconds.high:.2g}"
        ]
        if self.machine.unified_memory:
            said.append("memory is unified: allocated_gb is part of the board's memory, not beside it")
        return said

    def json(self) -> dict[str, Any]:
        """What `sdaug plan --json` prints."""
        machine, recommended = self.machine, self.recommended
        together = None if recommended is None else interval_json(process_total(recommended, machine))
        return {
            "schema": SCHEMA,
            "kind": "prediction: nothing here was measured on this device",
            "device": machine.name,
            "title": machine.title,
            "power_mode": machine.mode or None if isinstance(machine, Device) else None,
            "counted": counted_parts(),
            "stated_coverage": COVERAGE,
            "budget_gb": self.budget_gb,
            "target_s": self.target_s,
            "settings": [one.report() for one in self.planned],
            "recommended": self.recommendation.name,
            "why": self.recommendation.why,
            "floor_s": self.full.roof_s,
            "floor": {
                "of": f"20 steps with guidance and ControlNet, one image, {self.half}",
                "tflop": self.full.flops / 1e12,
                "at_roof_s": self.full.roof_s,
                "at_peak_s": self.full.floor_s,
            },
            "peers": [peer.report(recommended) for peer in self.peers],
            "targets": {name: target.report() for name, target in self.met.items()},
            "process_gb": together,
            "statements": self.statements,
            "sources": sources(machine),
        }


def make_report(
    machine: Machine, planned: Sequence[Planned], budget_gb: float, target_s: float | None, half: Dtype
) -> Report:
    """The report of a plan. half: the machine's smallest format."""
    chosen = recommend(planned, budget_gb, target_s)
    recommended = next((one for one in planned if one.asked.name == chosen.name), None)
    met = {} if recommended is None else targets(recommended, machine)
    full, peers = full_quality(machine, half), predicted_peers(machine, half)
    return Report(machine, budget_gb, target_s, tuple(planned), chosen, full, met, peers, half)


def counted_parts() -> dict[str, dict[str, float]]:
    """SD1.5's networks at 512 px, one image: GFLOP of one run, and parameters in millions.

    `vae_encode` and `vae_decode` name the parameters of the whole VAE, since both halves are held, and their own.
    """
    both = {
        "unet": ("unet",), "controlnet": ("controlnet", "hint"), "vae_decode": ("vae_decode",),
        "vae_encode": ("vae_encode",), "tiny_vae_decode": ("tiny_decode",), "text_encoder": ("text_encoder",),
    }  # fmt: skip
    whole: dict[str, tuple[PartName, ...]] = {
        "vae_decode": ("vae_encode", "vae_decode"), "vae_encode": ("vae_encode", "vae_decode"),
        "tiny_vae_decode": ("tiny_encode", "tiny_decode"),
    }  # fmt: skip
    found = {}
    for name, parts in both.items():
        costs = [count_part(part) for part in parts]  # type: ignore[arg-type]
        own = sum(cost.parameters for cost in costs)
        held = sum(count_part(part).parameters for part in whole[name]) if name in whole else own
        found[name] = {
            "gflop": sum(cost.flops for cost in costs) / 1e9,
            "params_m": held / 1e6,
            "own_params_m": own / 1e6,
            "launches": sum(cost.launches for cost in costs),
            "bytes_eager": sum(cost.bytes_eager for cost in costs),
            "bytes_fused": sum(cost.bytes_fused for cost in costs),
            "live_mib": max(cost.live_bytes for cost in costs) / 2**20,
        }
    return found


def sources(machine: Machine) -> dict[str, str]:
    """Where each figure of the machine is from."""
    if not isinstance(machine, Device):
        return {"rates": f"timed on this machine, {machine.date}", "storage_gb_s": STORAGE_GB_S.source}
    found = {name: getattr(machine, name).source for name in ("bandwidth", "launch_us", "reserved_gb", "storage_gb_s")}
    for group in ("peak", "roof", "efficiency", "classes"):
        found |= {f"{group}.{name}": figure.source for name, figure in getattr(machine, group).items()}
    if machine.context_gb is not None:
        found["context_gb"] = machine.context_gb.source
    if machine.mode:
        found["power_mode"] = machine.modes[machine.mode].source
    return found


def text(report: Report) -> str:
    """A line a setting, then what is recommended and which targets hold."""
    machine = report.machine
    mode = f", {machine.mode}" if isinstance(machine, Device) and machine.mode else ""
    lines = [f"{machine.title}{mode}: predictions, not measurements; budget {report.budget_gb:g} GB", ""]
    lines.append(f"{'setting':26} {'s an image':>20} {'s for five':>20} {'GB':>6} {'fits':>5}  bound by")
    for one in report.planned:
        if one.one is None or one.five is None or one.calls is None:
            lines.append(f"{one.asked.name:26} skipped: {one.skipped}")
            continue
        mark = "*" if one.on_front else ""
        rest = f"; not modelled: {', '.join(one.calls.not_modelled)}" if one.calls.not_modelled else ""
        rest += f"; memory without {', '.join(one.memory_not_counted)}" if one.memory_not_counted else ""
        lines.append(
            f"{one.asked.name + mark:26} {_spread(one.one.seconds):>20} {_spread(one.five.seconds):>20} "
            f"{one.allocated_gb:6.2f} {'yes' if one.fits else 'no':>5}  {one.one.bound_by}{rest}"
        )
    lines += ["", "* no other that fits is both faster and smaller", ""]
    lines.append(f"recommended: {report.recommendation.name or 'none'}: {report.recommendation.why}")
    for name, target in report.met.items():
        verdict = ("holds" if target.holds else "fails") + ("" if target.certain else ", not for certain")
        lines.append(f"  {name} < {target.limit:g}: {_spread(target.needs)}: {verdict} ({target.meter})")
    for peer in report.peers:
        ratio = peer.ratio(report.recommended)
        beside = "" if ratio is None else f"; the recommended setting takes {_spread(ratio)} of it"
        lines.append(f"  {peer.name}: {_spread(peer.five)} s for five{beside}")
    return "\n".join([*lines, *report.statements])


def _spread(interval: Any) -> str:
    if interval.low == interval.high:
        return f"{interval.predicted:.3g}"
    return f"{interval.predicted:.3g} ({interval.low:.3g}-{interval.high:.3g})"
