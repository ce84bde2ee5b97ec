"""dlib's network in a process of its own: the same vectors, and what happens when it ends."""

import sys

import numpy as np
import pytest

from sdaug.config import GateSettings
from sdaug.gate import open_gate
from sdaug.recognition.dlib_resnet import DlibResnet
from sdaug.service.work.describing import Describer, described
from sdaug.service.work.enrolment import _sights
from sdaug.service.work.variations import variations


@pytest.fixture(scope="module")
def describer():
    it = Describer()
    yield it
    it.close()


def test_the_other_process_gives_the_same_vector_to_the_bit(describer, embedded, astronaut):
    face = embedded.largest(astronaut.pixels)
    here, there = embedded.recognisers[0], DlibResnet(describer)
    assert np.array_equal(there.embed(astronaut.pixels, face), here.embed(astronaut.pixels, face))
    mirrored = np.ascontiguousarray(astronaut.pixels[:, ::-1])
    assert not np.array_equal(there.embed(mirrored, embedded.largest(mirrored)), here.embed(astronaut.pixels, face))


def test_variations_seen_by_two_processes_are_what_one_sees(embedded, astronaut):
    face = embedded.largest(astronaut.pixels)
    gate = open_gate(embedded, GateSettings(), astronaut.pixels, face)
    made = variations(astronaut.pixels, face.pose)
    made["nobody"] = (np.full_like(astronaut.pixels, 127), face.pose)
    varying = described(embedded)
    try:
        together = _sights(gate, varying, made, lambda *_, **__: None)
    finally:
        varying.recognisers[0]._describe.close()
    assert len(together) == len(made) and together[-1] is None
    for sight, (image, pose) in zip(together[:-1], list(made.values())[:-1], strict=True):
        alone = gate.look(image)
        assert np.array_equal(sight.vectors["dlib_resnet"], alone.vectors["dlib_resnet"])
        assert gate.decide(sight, pose) == gate.decide(alone, pose)


def test_a_pack_without_dlib_stays_as_it_is(embedded):
    from dataclasses import replace

    without = replace(embedded, recognisers=())
    assert described(without) is without


def test_a_process_that_ended_is_named_and_the_next_chip_starts_another():
    chip = np.zeros((150, 150, 3), np.uint8)
    broken = Describer((sys.executable, "-c", "import sys; sys.stdin.buffer.read(1000); sys.exit(7)"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="status 7"):
            broken(chip)
    broken.close()


def test_it_ends_with_the_process_that_started_it():
    describer = Describer()
    describer(np.zeros((150, 150, 3), np.uint8))
    process = describer._process
    assert process.poll() is None
    describer.close()
    assert process.returncode == 0
