"""The band files in the package: whose they are, where their figures come from, what they hold."""

import json
from importlib.resources import files

import pytest

from sdaug.bands import SCHEMA, find_band
from sdaug.face.photo import read_photo
from sdaug.types import Pose

FILES = {p.name: json.loads(p.read_text()) for p in files("sdaug.bands").iterdir() if p.name.endswith(".json")}


def test_there_is_one_band_a_recogniser():
    digests = [content["recogniser"]["sha256"] for content in FILES.values()]
    assert len(digests) == len(set(digests)) >= 2
    assert find_band("0" * 64) is None


@pytest.mark.parametrize("name", FILES)
def test_a_band_says_where_it_comes_from(name):
    content = FILES[name]
    assert content["schema"] == SCHEMA
    origin = content["provenance"]
    assert origin["command"].startswith("python scripts/similarity_bands.py") and "/" not in origin["command"][35:]
    assert origin["date"] and origin["commit"] and {"london", "head3d"} <= set(origin["sets"])
    assert origin["sets"]["london"]["mated"]["n"] >= 50 and origin["sets"]["london"]["non_mated"]["n"] >= 1000


@pytest.mark.parametrize("name", FILES)
def test_a_band_narrows_as_the_head_turns_and_lies_above_strangers(name):
    content = FILES[name]
    strangers = content["provenance"]["sets"]["london"]["non_mated"]
    mated = content["provenance"]["sets"]["london"]["mated"]
    for axis in ("yaw", "pitch"):
        rows = content[axis]
        assert [row["turned_deg"] for row in rows] == sorted({row["turned_deg"] for row in rows}) and len(rows) >= 3
        for column in ("low", "high"):
            assert [row[column] for row in rows] == sorted((row[column] for row in rows), reverse=True)
        for row in rows:
            assert row["low"] >= content["floor"] > strangers["mean"] + strangers["sd"]
            assert all(row["low"] <= score + 1e-9 or row["low"] == content["floor"] for score in row["true"])
            assert all(score < row["high"] for score in row["true"]), "a true photo at that pose is inside its band"
    assert mated["mean"] < content["near_duplicate"] < 1
    assert strangers["max"] < content["same_person"] < mated["min"]


def test_the_packs_own_recognisers_are_found_by_digest(embedded):
    band = find_band(embedded.recognisers[0].sha256)
    assert band is not None and band.at(Pose(0, 0))[1] > 1 > band.at(Pose(45, 0))[1]
    assert band.near_duplicate == FILES["dlib_resnet.json"]["near_duplicate"]


def test_true_views_are_inside_the_band(arcface, faces):
    """Of a head on which the band was measured, and at poses of both axes, where it was not."""
    own = arcface.recognisers[0]
    band = find_band(own.sha256)
    vectors = {}
    for name in ("yaw+00_pitch+00", "yaw-30_pitch+00", "yaw+45_pitch+15", "yaw+15_pitch-15"):
        image = read_photo(faces / "head3d" / f"{name}.png").pixels
        vectors[name] = own.embed(image, arcface.largest(image))
    frontal = vectors.pop("yaw+00_pitch+00")
    for name, vector in vectors.items():
        low, high = band.at(Pose(float(name[3:6]), float(name[12:])))
        assert low <= own.similarity(frontal, vector) <= high, name
