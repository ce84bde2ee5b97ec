"""The only file that knows MLflow: a parent run a sweep, a child run a setting, its cells the rows of a table."""

import hashlib
import json
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdaug.cells import named
from sdaug.compare import Choice, by_setting, cell_rows, setting_metrics
from sdaug.measure.source import code_version

PARENT_TAG = "mlflow.parentRunId"
SETTING_TAG = "sdaug.setting"
SWEEP_TAG = "sdaug.sweep"
TABLE = "cells.json"
RECIPE = "sdaug-recipe"
"""The registered model whose versions are the settings that sweeps recommended."""

CHAMPION = "champion"
"""The alias of the version recommended last."""

log = logging.getLogger("sdaug.tracking")


def store_uri(root: Path) -> str:
    """The tracking store under `root/mlruns`; always given, since MLflow's default moves with what lies about."""
    return f"sqlite:///{(root / 'mlruns' / 'mlflow.db').resolve()}"


def _client(root: Path, uri: str | None = None) -> Any:
    if uri is None:
        (root / "mlruns").mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = uri or store_uri(root)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment_id(client: Any, root: Path, uri: str | None, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    # A server keeps artefacts where it was told to.
    place = None if uri else (root / "mlruns" / name).resolve().as_uri()
    return client.create_experiment(name, artifact_location=place)


def log_sweep(
    root: Path, out: Path, results: Sequence[Mapping[str, Any]], choice: Choice, uri: str | None = None
) -> str:
    """Mirrors a sweep's results into MLflow and returns the parent run's id: a child a setting, its cells a table.

    out: the sweep's folder, whose `sweep.json` says what was run and whether faces may be shown. uri: of an MLflow
    server; none is the store under `root/mlruns`. The results on disk are the truth. A sweep logged before (same cells,
    same figures) is found again and not repeated. Every run is born ended, as "KILLED", and is "FINISHED" or "FAILED"
    by the last thing written to it: being killed here leaves none running.
    """
    client = _client(root, uri)
    index = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    name = index["experiment"]["experiment"]
    experiment_id = _experiment_id(client, root, uri, name)
    digest = _sweep_digest(results)
    for run in client.search_runs(
        [experiment_id], f"tags.`{SWEEP_TAG}` = '{digest}' and attributes.status = 'FINISHED'"
    ):
        return run.info.run_id
    parent = _born(client, experiment_id, name, {SWEEP_TAG: digest} | git_tags(root))
    varied = {setting["key"]: setting["varied"] for setting in index["settings"]}
    shown = Shown(index["experiment"]["log_images"], [str(result["person"]) for result in results])
    loads = {cell["setting"]: cell["load"] for cell in index["cells"]}
    children = {}
    for key, cells in by_setting(results).items():
        children[key] = run = _log_setting(client, experiment_id, parent, cells, varied[key], shown)
        _log_files(client, run, cells, sorted((out / "notebooks").glob(f"{loads[key]}*.ipynb")), out, shown)
        client.set_terminated(run, "FINISHED" if _whole(cells) else "FAILED")
    client.set_tag(parent, "sdaug.chosen", choice.key or "none")
    client.set_tag(parent, "sdaug.chosen_why", choice.why)
    client.log_dict(parent, shown.hidden(index), "sweep.json")
    if choice.key is not None:
        _register(client, children[choice.key], choice)
    client.set_terminated(parent, "FINISHED")
    return parent


@dataclass(frozen=True)
class Shown:
    """What of people may be logged: everything, or nothing that says who they are."""

    everything: bool
    names: list[str]

    def hidden(self, content: Any) -> Any:
        """JSON-able content with each person's name, alone or in a path, put as person 1, 2 ..., unless all is shown.

        >>> Shown(False, ["ada", "bea"]).hidden({"photo": "faces/bea.png", "of": ["ada", 1]})
        {'photo': 'person 2', 'of': ['person 1', 1]}
        """
        if self.everything:
            return content
        if isinstance(content, Mapping):
            return {self.hidden(key): self.hidden(value) for key, value in content.items()}
        if isinstance(content, (list, tuple)):
            return [self.hidden(value) for value in content]
        return self._hidden_text(content) if isinstance(content, str) else content

    def notebook(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """An executed notebook's content with every name in it, wherever it stands, hidden in the same way."""
        text = json.dumps(content)
        for number, name in enumerate(dict.fromkeys(self.names), 1) if not self.everything else ():
            text = text.replace(json.dumps(name)[1:-1], f"person {number}")
        return json.loads(text)

    def _hidden_text(self, text: str) -> str:
        for number, name in enumerate(dict.fromkeys(self.names), 1):
            if text == name or Path(text).stem == name:
                return f"person {number}"
        return text


def _born(client: Any, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    tags = {"mlflow.runName": name, "sdaug.code": code_version()} | dict(tags)
    run = client.create_run(experiment_id, tags=tags).info.run_id
    client.set_terminated(run, "KILLED")
    return run


def _sweep_digest(results: Sequence[Mapping[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(list(results), sort_keys=True).encode()).hexdigest()[:32]


def _log_setting(
    client: Any,
    experiment_id: str,
    parent: str,
    cells: Sequence[Mapping[str, Any]],
    varied: Mapping[str, Any],
    shown: Shown,
) -> str:
    from mlflow.entities import Metric, Param, RunTag

    finished = [cell for cell in cells if cell["status"] == "finished"]
    status = "finished" if _whole(cells) else "incomplete" if finished else str(cells[0]["status"])
    tags = {PARENT_TAG: parent, SETTING_TAG: cells[0]["setting"], "sdaug.status": status} | _facts(finished)
    run = _born(client, experiment_id, named(varied), tags)
    settings = cells[0]["settings"]
    params = [Param(name, json.dumps(value)) for name, value in flat(settings)]
    now = int(time.time() * 1000)
    figures = setting_metrics(cells)
    numbers = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    errors = [RunTag("sdaug.error", cells_error)] if (cells_error := _first_error(cells)) else []
    client.log_batch(run, metrics=numbers, params=params, tags=errors)
    client.log_dict(run, _split(shown.hidden([row for cell in cells for row in cell_rows(cell)])), TABLE)
    client.set_tag(run, "mlflow.loggedArtifacts", json.dumps([{"path": TABLE, "type": "table"}]))
    client.log_dict(run, settings, "settings.json")
    return run


def _whole(cells: Sequence[Mapping[str, Any]]) -> bool:
    return all(cell["status"] == "finished" for cell in cells)


def _log_files(
    client: Any, run: str, cells: Sequence[Mapping[str, Any]], notebooks: Sequence[Path], out: Path, shown: Shown
) -> None:
    """The executed notebooks, with names hidden where they must be, and contact sheets where they may be."""
    for path in notebooks:
        content = json.loads(path.read_text(encoding="utf-8"))
        client.log_text(run, json.dumps(shown.notebook(content)), f"notebooks/{path.name}")
    for cell in cells if shown.everything else ():
        sheet = out / "cells" / cell["key"] / "contact.png"
        if sheet.is_file():
            client.log_artifact(run, str(sheet), f"contact/{cell['key']}")


def _facts(finished: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Machine, versions and weights of the finished cells, as tags; none without one."""
    if not finished:
        return {}
    record = finished[0]["record"]
    model = record["generator"].get("model", {})
    return {
        "sdaug.device": str(record["environment"]["gpu"] or record["environment"]["processor"]),
        "sdaug.packages": json.dumps(record["environment"]["packages"]),
        "sdaug.weights": json.dumps(model.get("sha256", {})),
        "sdaug.pack": json.dumps(record["pack"]["files"]),
    }


def _first_error(cells: Sequence[Mapping[str, Any]]) -> str:
    return next((str(cell["error"]) for cell in cells if cell["status"] != "finished"), "")[:5000]


def _split(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """As MLflow's own `log_table` writes a table, which warns of pandas while it does."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}


def _register(client: Any, run: str, choice: Choice) -> None:
    """The chosen setting as a version of the registered recipe, its evidence being the setting's run."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(RECIPE, description="Settings that a sweep recommended, each with its evidence.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run).info.artifact_uri}/settings.json"
    version = client.create_model_version(RECIPE, source, run_id=run, description=choice.why)
    client.set_registered_model_alias(RECIPE, CHAMPION, version.version)


def flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted pairs.

    >>> flat({"generation": {"seed": 0}, "pack": "embedded"})
    [('generation.seed', 0), ('pack', 'embedded')]
    """
    pairs: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            pairs.extend(flat(value, f"{prefix}{name}."))
        else:
            pairs.append((prefix + name, value))
    return pairs


def git_tags(root: Path) -> dict[str, str]:
    """The commit this runs at and whether the tree differs from it; empty outside a repository."""
    commands = {"sdaug.git_commit": ["rev-parse", "HEAD"], "sdaug.git_dirty": ["status", "--porcelain"]}
    tags = {}
    for tag, command in commands.items():
        try:
            done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            log.info("no git commit to record")
            return {}
        tags[tag] = done.stdout.strip() if tag.endswith("commit") else str(bool(done.stdout.strip()))
    return tags


def read_runs(root: Path, name: str) -> list[dict[str, Any]]:
    """Every run of an experiment as {run_id, status, tags, params, metrics}, newest first."""
    client = _client(root)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    return [
        {
            "run_id": run.info.run_id,
            "status": run.info.status,
            "tags": dict(run.data.tags),
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
        }
        for run in client.search_runs([experiment.experiment_id], max_results=50000)
    ]


def read_recipe(root: Path, alias: str = CHAMPION) -> dict[str, Any] | None:
    """The recommended setting as {settings, why, run_id, version}; None where no sweep recommended one."""
    from mlflow.artifacts import load_dict
    from mlflow.exceptions import MlflowException

    client = _client(root)
    try:
        version = client.get_model_version_by_alias(RECIPE, alias)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return {
        "settings": load_dict(version.source),
        "why": version.description,
        "run_id": version.run_id,
        "version": version.version,
    }
