"""The demo's path on its small twin: results, MLflow, report and bundle must tell the same numbers."""

import html.parser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sdaug.cli import main
from sdaug.compare import choose, setting_metrics
from sdaug.enrolment.verify import load_embeddings
from sdaug.experiment import load_experiment
from sdaug.tracking import PARENT_TAG, SETTING_TAG, read_recipe, read_runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class _Figures(html.parser.HTMLParser):
    """The report's figures: {setting's key: {metric: text of the exact value}}."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._key = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr" and given.get("data-key"):
            self._key = str(given["data-key"])
            self.found[self._key] = {}
        if tag == "td" and given.get("data-metric"):
            self.found[self._key][str(given["data-metric"])] = str(given["data-value"])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of `make demo` were run on experiments/smoke.yaml."""
    root = tmp_path_factory.mktemp("demo")
    for name in ("notebooks", "experiments"):
        shutil.copytree(ROOT / name, root / name)
    commands = [
        ["sweep", "experiments/smoke.yaml", "--out", "build/smoke"],
        ["report", "experiments/smoke.yaml", "--out", "build/smoke/report.html"],
        [
            "enrol",
            "astronaut",
            "--subject",
            "s",
            "--chosen",
            "build/smoke/chosen.json",
            "--out",
            "build/smoke/enrolment",
        ],
        ["verify", "build/smoke/enrolment"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for command in commands:
            result = CliRunner().invoke(main, command, catch_exceptions=False)
            assert result.exit_code == 0, (command, result.output)
    return root


@pytest.fixture(scope="module")
def results(demo: Path) -> dict[str, list[dict]]:
    """The cells' results by setting."""
    _, cells = load_experiment_in(demo)
    found: dict[str, list[dict]] = {}
    for cell in cells:
        result = json.loads((demo / f"build/smoke/cells/{cell.key}/result.json").read_text())
        found.setdefault(cell.setting_key, []).append(result)
    return found


def load_experiment_in(root: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return load_experiment("experiments/smoke.yaml")


def test_a_finished_sweep_loads_neither_a_network_nor_the_tracking(demo):
    code = (
        "import sys\n"
        "from sdaug.cli import main\n"
        "try: main(['sweep', 'experiments/smoke.yaml', '--out', 'build/smoke'])\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert not {'torch', 'diffusers', 'mediapipe', 'mlflow', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=demo, capture_output=True, text=True)
    assert done.returncode == 0 and "0 to run" in done.stderr, done.stderr


def test_mlflow_agrees_with_the_results(demo: Path, results: dict[str, list[dict]]) -> None:
    runs = read_runs(demo, "smoke")
    children = {run["tags"][SETTING_TAG]: run for run in runs if PARENT_TAG in run["tags"]}
    parents = [run for run in runs if PARENT_TAG not in run["tags"]]
    chosen = choose([cell for cells in results.values() for cell in cells]).key
    assert len(parents) == 1 and parents[0]["tags"]["sdaug.chosen"] == chosen
    assert children.keys() == results.keys() and sorted(map(len, results.values())) == [2, 2]
    assert {run["status"] for run in runs} == {"FINISHED"}
    for key, cells in results.items():
        expected = {name: value for name, value in setting_metrics(cells).items() if value is not None}
        assert children[key]["metrics"] == pytest.approx(expected, rel=1e-12)
        assert children[key]["params"]["generation.num_angles"] == str(cells[0]["settings"]["generation"]["num_angles"])


def test_the_recommended_recipe_is_registered_with_its_evidence(demo: Path, results: dict[str, list[dict]]) -> None:
    chosen = json.loads((demo / "build/smoke/chosen.json").read_text())
    recipe = read_recipe(demo)
    assert recipe is not None and recipe["settings"] == chosen["settings"] and recipe["why"] == chosen["why"]
    (run,) = [run for run in read_runs(demo, "smoke") if run["run_id"] == recipe["run_id"]]
    assert run["tags"][SETTING_TAG] == chosen["key"]


def test_report_agrees_with_the_results(demo: Path, results: dict[str, list[dict]]) -> None:
    page = (demo / "build/smoke/report.html").read_text(encoding="utf-8")
    figures = _Figures()
    figures.feed(page)
    assert figures.found.keys() == results.keys()
    for key, cells in results.items():
        expected = setting_metrics(cells)
        for metric, text in figures.found[key].items():
            if expected[metric] is None:
                assert text in ("None", "nan")
            else:
                assert float(text) == pytest.approx(expected[metric], rel=1e-12)
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_bundle_agrees_with_the_chosen_result(demo: Path, results: dict[str, list[dict]]) -> None:
    chosen = json.loads((demo / "build/smoke/chosen.json").read_text())
    vectors, manifest = load_embeddings(demo / "build/smoke/enrolment")
    angles = results[chosen["key"]][0]["record"]["angles"]
    made = [sample for sample in manifest.samples if sample.origin != "captured"]
    assert len(made) == len(angles) and len(vectors) == 1 + sum(angle["accepted"] for angle in angles)
    for sample, angle in zip(made, angles, strict=True):
        assert sample.similarity == pytest.approx(angle["similarity"], abs=1e-6)
        # the stored bytes themselves give that similarity: 1 - d / 0.6 of dlib's raw vectors
        distance = np.linalg.norm(vectors[sample.row] - vectors[0])
        assert 1 - distance / 0.6 == pytest.approx(angle["similarity"]["dlib_resnet"], abs=1e-5)


def test_different_raw_pixels_have_different_raw_similarity(results: dict[str, list[dict]]) -> None:
    cells = [cell for cells in results.values() for cell in cells if cell["settings"]["backend"] == "diffusion"]
    raws = [cell["record"]["angles"][0]["raw"] for cell in cells]
    assert len(raws) == 2 and raws[0]["pixels_sha256"] != raws[1]["pixels_sha256"]
    first, second = (raw["similarity_at_requested_landmarks"]["dlib_resnet"] for raw in raws)
    assert first != second
    assert all(raw["measured"] is not None for raw in raws), "the trained model's raw picture is a face"


def test_a_finished_sweep_runs_nothing_again(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)
    before = {path: path.stat().st_mtime_ns for path in demo.glob("build/smoke/**/*.ipynb")}
    result = CliRunner().invoke(
        main, ["sweep", "experiments/smoke.yaml", "--out", "build/smoke"], catch_exceptions=False
    )
    assert result.exit_code == 0 and before
    assert {path: path.stat().st_mtime_ns for path in demo.glob("build/smoke/**/*.ipynb")} == before
    assert len([run for run in read_runs(demo, "smoke") if PARENT_TAG not in run["tags"]]) == 1
