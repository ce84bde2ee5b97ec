"""What a call's networks do, stage by stage: counted, and so the same on every machine."""

from typing import Any

from sdaug.costmodel.call import Call, Piece, pieces
from sdaug.costmodel.predict import STAGES
from sdaug.costmodel.work import total


def counted_stages(call: Call) -> dict[str, dict[str, Any]]:
    """By stage, JSON-able: passes, GFLOP and bytes by operator class, bytes eager and fused, kernel launches, and the
    highest sum of tensors in MiB that a pass holds beside weights and inputs.

    >>> found = counted_stages(Call(images=2, unet=3, vae="tiny"))
    >>> list(found), found["unet"]["passes"], round(found["decode"]["gflop"])
    (['encode', 'unet', 'decode'], 6, 283)
    """
    by_stage: dict[str, list[Piece]] = {}
    for piece in pieces(call):
        by_stage.setdefault(STAGES[piece.part], []).append(piece)
    return {stage: _counted(found) for stage, found in by_stage.items()}


def _counted(found: list[Piece]) -> dict[str, Any]:
    times: dict[Any, int] = {}
    for piece in found:
        times[piece.work] = times.get(piece.work, 0) + piece.times
    work = total(times)
    return {
        "passes": sum(piece.times for piece in found),
        "gflop": work.flops / 1e9,
        "gflop_by_class": {kind: flops / 1e9 for kind, flops in work.flops_by_kind.items()},
        "bytes_by_class": work.bytes_by_kind,
        "bytes_eager": work.bytes_eager,
        "bytes_fused": work.bytes_fused,
        "launches": work.launches,
        "live_mib": max(piece.work.live_bytes for piece in found) / 2**20,
    }
