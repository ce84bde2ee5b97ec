"""dlib's network in a process of its own: `python -m sdaug.service.work.describing`, chips on standard input, vectors
on standard output.

The network holds the interpreter for a tenth of a second a face. Here it holds another one, and a worker looks at the
next image meanwhile.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sdaug.packs import FacePack
from sdaug.recognition.dlib_resnet import CHIP_PX, DlibResnet

_CHIP = (CHIP_PX, CHIP_PX, 3)


class Describer:
    """`dlib_resnet`'s vector (128,) float32 of a chip (150, 150, 3) uint8 RGB, from the other process.

    That ends with this one. If it ends by itself, the chip it had raises RuntimeError, and another is started.
    Not thread-safe.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "sdaug.service.work.describing")):
        self._command = tuple(command)
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, chip: np.ndarray) -> np.ndarray:
        assert self._process.stdin is not None and self._process.stdout is not None
        expected = 4 * DlibResnet.dim
        try:
            self._process.stdin.write(chip.tobytes())
            self._process.stdin.flush()
            vector = self._process.stdout.read(expected)
        except BrokenPipeError:
            vector = b""
        if len(vector) != expected:
            status = self.close()
            self._process = self._start()
            raise RuntimeError(f"dlib's process ended with status {status} over a face")
        return np.frombuffer(vector, "<f4").astype(np.float32)

    def close(self) -> int:
        """Ends the process; its exit status."""
        self._process.communicate()  # which also closes this side of the pipes
        return self._process.returncode


def described(pack: FacePack) -> FacePack:
    """`pack`, whose dlib, if it has one, is in a process of its own, which is started."""
    names = [recogniser.name for recogniser in pack.recognisers]
    if DlibResnet.name not in names:
        return pack
    apart = DlibResnet(Describer())
    return replace(pack, recognisers=tuple(apart if r.name == apart.name else r for r in pack.recognisers))


def main() -> None:
    recogniser, size = DlibResnet(), int(np.prod(_CHIP))
    recogniser.describe(np.zeros(_CHIP, np.uint8))  # the weights are read now
    while len(data := sys.stdin.buffer.read(size)) == size:
        vector = recogniser.describe(np.frombuffer(data, np.uint8).reshape(_CHIP))
        sys.stdout.buffer.write(np.ascontiguousarray(vector, "<f4").tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
