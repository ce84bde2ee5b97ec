"""Write requirements-genai.txt from the pins of Python 3.11, or check that the two agree.

python scripts/requirements_genai.py [--check]
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints" / "py311.txt"
REQUIREMENTS = ROOT / "requirements-genai.txt"

PACKAGES = ("diffusers", "transformers", "accelerate", "safetensors", "controlnet-aux", "opencv-python", "einops")

HEAD = """\
# The generative packages alone, for a system that has its own torch: pip install -r requirements-genai.txt
# Python 3.11 and 3.12. Python 3.10 has older last releases: constraints/py310.txt.
# Written by scripts/requirements_genai.py from constraints/py311.txt; change the pins there.
"""

OPTIONAL = """\

# Optional, and not used by sdaug:
# omegaconf     only to read the YAML files of original, unconverted Stable Diffusion checkpoints.
# xformers      PyPI has wheels of its releases for x86_64 only. On aarch64 (Jetson) pip would have to compile it with
#               nvcc against the installed torch, and torch's own scaled_dot_product_attention already does its work.
"""


def pins(text: str) -> dict[str, str]:
    """Name to version of each `name==version` line.

    >>> pins("# a comment\\ntorch==2.15.0\\n")
    {'torch': '2.15.0'}
    """
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


def requirements(constraints: str) -> str:
    """The text of requirements-genai.txt for the text of a constraints file; KeyError names a package without a pin."""
    pinned = pins(constraints)
    return HEAD + "".join(f"{name}=={pinned[name]}\n" for name in PACKAGES) + OPTIONAL


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"unknown arguments {arguments}; there is: --check\n")
        return 2
    wanted = requirements(CONSTRAINTS.read_text(encoding="utf-8"))
    if arguments:
        if REQUIREMENTS.is_file() and REQUIREMENTS.read_text(encoding="utf-8") == wanted:
            return 0
        sys.stderr.write(f"{REQUIREMENTS.name} does not agree with constraints/{CONSTRAINTS.name}; run: {__file__}\n")
        return 1
    scratch = REQUIREMENTS.with_suffix(".txt.new")
    scratch.write_text(wanted, encoding="utf-8")
    os.replace(scratch, REQUIREMENTS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
