"""What every quality measure must do. Files are found, not listed; a new measure is tested by being there."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from sdaug import plugins
from sdaug.quality import THRESHOLD, AbstractQualityMeasure
from sdaug.quality.blur import Blur
from sdaug.quality.brightness import Brightness
from sdaug.quality.confidence import Confidence
from sdaug.quality.resolution import Resolution
from sdaug.types import Reason

MEASURES = plugins.names("sdaug.quality")
LIGHT = {"brightness", "illumination_uniformity", "luminance_mean", "natural_colour", "under_exposure_prevention"}


@pytest.fixture(scope="module")
def inputs(astronaut, astronaut_face):
    """(image, face, others) from fine to hopeless in blur, light, colour, detector score, size, company."""
    image, face = astronaut.pixels, astronaut_face

    def scaled(share: float):
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        points, landmarks = face.five_points * np.float32(share), face.landmarks * np.float32(share)
        box = tuple(edge * share for edge in face.box)
        return small, replace(face, box=box, five_points=points, landmarks=landmarks)

    ladder = [(cv2.GaussianBlur(image, (0, 0), sigma), face) for sigma in np.geomspace(0.3, 20, 25)]
    ladder += [(np.clip(image.astype(float) * gain, 0, 255).astype(np.uint8), face) for gain in np.linspace(0, 6, 40)]
    ladder += [(np.full_like(image, level), face) for level in (0, 49, 50, 51, 199, 200, 201, 255)]
    ladder += [(image, replace(face, confidence=float(c))) for c in np.linspace(0, 1, 41)]
    ladder += [scaled(share) for share in (0.2, 0.5, 0.99, 1.0, 1.5)]
    ladder += [(np.clip(image + np.array(cast), 0, 255).astype(np.uint8), face) for cast in np.eye(3) * 150]
    lit = np.linspace(0, 2, image.shape[1])[None, :, None]
    ladder += [(np.clip(image * side, 0, 255).astype(np.uint8), face) for side in (lit, lit**4, np.round(lit / 2) * 2)]
    x0, y0, x1, y1 = face.box
    sizes = np.linspace(0.05, 1.5, 30).tolist()
    company = [replace(face, box=(x0, y0, x0 + (x1 - x0) * size, y0 + (y1 - y0) * size)) for size in sizes]
    return [(*pair, ()) for pair in ladder] + [(image, face, (other,)) for other in company]


def test_there_are_the_missions_measures():
    assert {"blur", "brightness", "confidence", "resolution"} <= set(MEASURES)
    assert LIGHT <= set(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_a_frozen_config_with_defaults(name):
    measure = plugins.load("sdaug.quality", name)
    assert isinstance(measure, AbstractQualityMeasure)
    assert type(measure)(**measure.model_dump()) == measure
    with pytest.raises(ValidationError, match="frozen"):
        setattr(measure, next(iter(type(measure).model_fields), "anything"), None)


@pytest.mark.parametrize("name", MEASURES)
def test_an_unknown_option_is_refused_with_the_nearest(name):
    for option in type(plugins.load("sdaug.quality", name)).model_fields:
        with pytest.raises(plugins.PluginError, match=f"{name!r}: unknown option '{option}x'; did you mean '{option}'"):
            plugins.load("sdaug.quality", name, {f"{option}x": 1})
    with pytest.raises(plugins.PluginError, match=f"{name!r}: unknown option"):
        plugins.load("sdaug.quality", name, {"no_such_option": 1})


@pytest.mark.parametrize("name", MEASURES)
def test_the_scalar_says_what_the_refusal_says(name, inputs):
    """Above 0.7 nothing is refused, below it everything is. At 0.7 exactly the measure's own threshold is touched, and
    whether that is still accepted is the measure's rule."""
    measure = plugins.load("sdaug.quality", name)
    outcomes = set()
    for image, face, others in inputs:
        score = measure.measure(image, face, others)
        assert type(score.raw) is float and math.isfinite(score.raw)
        assert type(score.scalar) is float and 0 <= score.scalar <= 1
        refusal = measure.refusal(score.raw)
        if score.scalar > THRESHOLD:
            assert refusal is None, score
        if score.scalar < THRESHOLD:
            assert isinstance(refusal, Reason), score
        outcomes.add(refusal)
    assert None in outcomes and len(outcomes) > 1, "the inputs must reach both sides of the threshold"


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("sigma", [1, 3, 8])
def test_a_blurred_face_is_not_better_than_the_sharp_one(name, sigma, astronaut, astronaut_face):
    measure = plugins.load("sdaug.quality", name)
    sharp = measure.measure(astronaut.pixels, astronaut_face)
    blurred = measure.measure(cv2.GaussianBlur(astronaut.pixels, (0, 0), sigma), astronaut_face)
    # blur mixes light and dark, which the measures of light take for an improvement: no more than a hair may come of it
    assert blurred.scalar <= sharp.scalar + (0.12 if name in LIGHT else 1e-3)
    if name == "blur":
        assert blurred.scalar < sharp.scalar


@pytest.mark.parametrize("name", MEASURES)
def test_measuring_changes_nothing_and_repeats(name, astronaut, astronaut_face):
    measure, before = plugins.load("sdaug.quality", name), astronaut.pixels.copy()
    assert measure.measure(astronaut.pixels, astronaut_face) == measure.measure(astronaut.pixels, astronaut_face)
    assert np.array_equal(astronaut.pixels, before)


# -- the mission's thresholds


@pytest.mark.parametrize(
    ("measure", "raw", "reason"),
    [
        (Confidence(), 0.7, Reason.LOW_CONFIDENCE),
        (Confidence(), math.nextafter(0.7, 1), None),
        (Blur(), 0.3, Reason.BLURRED),
        (Blur(), math.nextafter(0.3, 0), None),
        (Brightness(), 50.0, None),
        (Brightness(), math.nextafter(50, 0), Reason.TOO_DARK),
        (Brightness(), 200.0, None),
        (Brightness(), math.nextafter(200, 255), Reason.TOO_BRIGHT),
        (Resolution(), 512.0, None),
        (Resolution(), 511.0, Reason.IMAGE_TOO_SMALL),
    ],
)
def test_the_thresholds_are_the_missions(measure, raw, reason):
    assert measure.refusal(raw) is reason


def test_blur_is_that_of_the_face_whatever_the_resolution(astronaut, astronaut_face):
    large = cv2.resize(astronaut.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    twice = replace(astronaut_face, five_points=astronaut_face.five_points * 2)
    small, big = Blur().measure(astronaut.pixels, astronaut_face), Blur().measure(large, twice)
    assert -100 * math.log(small.raw) == pytest.approx(-100 * math.log(big.raw), rel=0.35)
    only_background = astronaut.pixels.copy()
    only_background[250:] = cv2.GaussianBlur(only_background[250:], (0, 0), 9)
    assert Blur().measure(only_background, astronaut_face) == small
    assert Blur().measure(np.full_like(astronaut.pixels, 90), astronaut_face).raw == 1.0


def test_the_images_border_is_no_sharp_edge(astronaut, astronaut_face):
    """Of a blurred face that is cut by the image's border, the border itself used to be measured."""
    x, y = astronaut_face.five_points.min(0).astype(int) - 10
    cut = np.ascontiguousarray(cv2.GaussianBlur(astronaut.pixels, (0, 0), 8)[y:, x:])
    moved = replace(astronaut_face, five_points=astronaut_face.five_points - np.float32([x, y]))
    assert Blur().refusal(Blur().measure(cut, moved).raw) is Reason.BLURRED


def test_exposure_is_the_mean_of_all_pixels(astronaut, astronaut_face):
    assert Brightness().measure(astronaut.pixels, astronaut_face).raw == pytest.approx(astronaut.pixels.mean())
    dark, bright = (np.full((64, 64, 3), level, np.uint8) for level in (20, 240))
    assert Brightness().refusal(Brightness().measure(dark, astronaut_face).raw) is Reason.TOO_DARK
    assert Brightness().refusal(Brightness().measure(bright, astronaut_face).raw) is Reason.TOO_BRIGHT


def test_resolution_is_the_shorter_side(astronaut_face):
    assert Resolution().measure(np.zeros((300, 900, 3), np.uint8), astronaut_face).raw == 300
    assert Resolution(at_least_px=300).measure(np.zeros((300, 900, 3), np.uint8), astronaut_face).scalar > THRESHOLD


@pytest.mark.parametrize(("name", "option"), [("blur", "below"), ("brightness", "high"), ("confidence", "above")])
def test_a_moved_threshold_moves_the_scalar_with_it(name, option, astronaut, astronaut_face):
    raw = plugins.load("sdaug.quality", name).measure(astronaut.pixels, astronaut_face).raw
    moved = plugins.load("sdaug.quality", name, {option: raw})
    assert moved.measure(astronaut.pixels, astronaut_face).scalar == pytest.approx(THRESHOLD)
