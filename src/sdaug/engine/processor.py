"""Whether this CPU multiplies 8-bit integers in one instruction."""

from pathlib import Path

INSTRUCTIONS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
"""Dot products of 8-bit integers on x86 and ARM, as Linux names them."""


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str] | None:
    """Those that this CPU has; None where the system does not say.

    Without any, onnxruntime multiplies int8 in several instructions, and on x86 sums of two products
    saturate at 16 bits, which `Quantisation.reduce_range` avoids.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}
    return [name for name in INSTRUCTIONS if name in flags] if flags else None
