"""The only file that knows MLflow: a parent run a sweep, a child run a setting."""

import json
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdaug.compare import Choice, metrics
from sdaug.measure.environment import version

PARENT_TAG = "mlflow.parentRunId"
KEY_TAG = "sdaug.cell_key"
SWEEP_TAG = "sdaug.sweep"

log = logging.getLogger("sdaug.tracking")


def store_uri(root: Path) -> str:
    """The tracking store under `root/mlruns`; always given, since MLflow's default moves with what lies about."""
    return f"sqlite:///{(root / 'mlruns' / 'mlflow.db').resolve()}"


def _client(root: Path) -> Any:
    (root / "mlruns").mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = store_uri(root)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _experiment_id(client: Any, root: Path, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return found.experiment_id
    return client.create_experiment(name, artifact_location=(root / "mlruns" / name).resolve().as_uri())


def log_sweep(
    root: Path,
    name: str,
    results: Sequence[Mapping[str, Any]],
    varied: Mapping[str, Mapping[str, Any]],
    choice: Choice,
    out: Path,
    log_images: bool,
) -> str:
    """Mirrors a sweep's results into MLflow and returns the parent run's id.

    The results on disk are the truth. A sweep logged before (same cells, same figures) is found again and not repeated.
    """
    client = _client(root)
    experiment_id = _experiment_id(client, root, name)
    digest = _sweep_digest(results)
    for run in client.search_runs(
        [experiment_id], f"tags.`{SWEEP_TAG}` = '{digest}' and attributes.status = 'FINISHED'"
    ):
        return run.info.run_id
    tags = {SWEEP_TAG: digest, "mlflow.runName": name, "sdaug.version": version("sdaug") or ""} | git_tags(root)
    parent = client.create_run(experiment_id, tags=tags).info.run_id
    for result in results:
        _log_cell(client, experiment_id, parent, result, varied[result["key"]], out, log_images)
    client.set_tag(parent, "sdaug.chosen", choice.key or "none")
    client.set_tag(parent, "sdaug.chosen_why", choice.why)
    client.log_artifact(parent, str(out / "sweep.json"))
    client.set_terminated(parent, "FINISHED")
    return parent


def _sweep_digest(results: Sequence[Mapping[str, Any]]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(list(results), sort_keys=True).encode()).hexdigest()[:32]


def _log_cell(
    client: Any,
    experiment_id: str,
    parent: str,
    result: Mapping[str, Any],
    varied: Mapping[str, Any],
    out: Path,
    log_images: bool,
) -> None:
    from mlflow.entities import Metric, Param

    short = " ".join(f"{key.split('.')[-1]}={value}" for key, value in varied.items())
    tags = {PARENT_TAG: parent, KEY_TAG: result["key"], "mlflow.runName": short, "sdaug.status": result["status"]}
    run = client.create_run(experiment_id, tags=tags).info.run_id
    params = [Param(name, json.dumps(value)) for name, value in flat(result["settings"])]
    now = int(time.time() * 1000)
    figures = metrics(result) if result["status"] == "finished" else {}
    numbers = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    client.log_batch(run, metrics=numbers, params=params)
    folder = out / "cells" / result["key"]
    client.log_artifact(run, str(folder / "result.json"))
    if log_images and (folder / "contact.png").is_file():
        client.log_artifact(run, str(folder / "contact.png"))
    client.set_terminated(run, "FINISHED" if result["status"] == "finished" else "FAILED")


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
