"""The only file that knows MLflow: a parent run a sweep, a child run a setting, its cells the rows of a table."""

import hashlib
import json
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from sdaug.cells import named
from sdaug.compare import Choice, by_setting, cell_rows, setting_metrics
from sdaug.measure.source import code_version, judging_version
from sdaug.shown import Shown, without_pictures

PARENT_TAG = "mlflow.parentRunId"
SETTING_TAG = "sdaug.setting"
SWEEP_TAG = "sdaug.sweep"
"""A digest of the results that a run tells of."""

CELLS_TAG = "sdaug.cells"
"""On a parent: a digest of what is to be run, and of whether faces may be shown."""

TABLE = "cells.json"
SQLITE = "sqlite:///"
STORE = "mlruns/mlflow.db"
"""In the folder that things are run from."""

RECIPE = "sdaug-recipe"
"""The registered model whose versions are the settings that sweeps recommended."""

CHAMPION = "champion"
"""The alias of the version recommended last."""

TAG_LENGTH = 8000
"""Characters of a tag that MLflow keeps; it cuts off the rest."""

MANY = 50_000
"""More runs than a search of MLflow's gives otherwise, and the most that it gives."""

ANSWER_S = 30.0
"""How long a server may take to say that it is there."""

log = logging.getLogger("sdaug.tracking")


def store_uri(root: Path) -> str:
    """The tracking store under `root/mlruns`; always given, since MLflow's default moves with what lies about."""
    return f"{SQLITE}{(root / STORE).resolve()}"


def is_server(uri: str | None) -> bool:
    """Whether `uri` is one that several machines may write to at once."""
    return uri is not None and uri.startswith(("http://", "https://"))


def check_store(uri: str, host: str | None = None) -> None:
    """Raises ValueError for what is no store's URI, and for a server that does not answer, or not under its name.

    host: that name, by default as `uri` has it."""
    if "://" not in uri:
        raise ValueError(
            f"{uri!r} is no tracking store; expected http://HOST:PORT of an MLflow server, or sqlite:///FILE"
        )
    if not is_server(uri):
        return
    # Not /health, which answers even those whom everything else refuses.
    asked = Request(f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search", json.dumps({"max_results": 1}).encode())
    asked.add_header("Content-Type", "application/json")
    if host is not None:
        asked.add_header("Host", host)
    try:
        with urlopen(asked, timeout=ANSWER_S):
            pass
    except OSError as error:
        if isinstance(error, HTTPError) and b"Invalid Host" in error.read():
            raise ValueError(f"the MLflow server at {uri} takes no calls under this name; start it with "
                             f"--allowed-hosts {host or urlsplit(uri).netloc}") from error  # fmt: skip
        if getattr(error, "code", None) in (401, 403):  # it is there, and wants a password
            return
        raise ValueError(f"no MLflow server answers at {uri}: {error}") from error


@dataclass(frozen=True)
class Parent:
    """The run of a whole sweep: plain values, so that whichever machine finishes a setting can log it there. git: tags
    of the checkout that the sweep was started from."""

    uri: str
    experiment_id: str
    run: str
    shown: Shown
    git: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A setting to be logged. cells: the keys of all its cells; load: what the executed notebooks' names begin with."""

    key: str
    varied: dict[str, Any]
    cells: tuple[str, ...]
    load: str


def open_parent(root: Path, name: str, cells: Sequence[str], shown: Shown, uri: str | None = None) -> Parent:
    """The run of the sweep of these cells, made if there is none that waits to be finished.

    root: the folder that holds `mlruns/`. Whoever fans out calls this first: a store that several processes initialise
    at once is broken.
    """
    client, uri = _client(root, uri), uri or store_uri(root)
    experiment_id = _experiment_id(client, root, uri, name)
    digest, git = _digest([sorted(cells), shown.everything]), git_tags(root)
    waiting = client.search_runs(
        [experiment_id], f"tags.`{CELLS_TAG}` = '{digest}' and attributes.status != 'FINISHED'"
    )
    if not waiting:
        run = _born(client, experiment_id, name, {CELLS_TAG: digest} | git)
        return Parent(uri, experiment_id, run, shown, git)
    run = waiting[0].info.run_id
    client.set_terminated(run, "KILLED")  # it may have been killed while it was born
    return Parent(uri, experiment_id, run, shown, git)


def log_sweep(
    root: Path, out: Path, results: Sequence[Mapping[str, Any]], choice: Choice, uri: str | None = None
) -> str:
    """Mirrors a sweep's results into MLflow and returns the parent run's id: a child a setting, its cells a table.

    out: the sweep's folder, whose `sweep.json` says what was run and whether faces may be shown. uri: of an MLflow
    server; none is the store under `root/mlruns`. The results on disk are the truth. A sweep logged before (same cells,
    same figures) is found again and not repeated, nor is a setting that a worker has logged. Every run is born ended,
    as "KILLED", and is "FINISHED" or "FAILED" by the last thing written to it: being killed here leaves none running.
    """
    client = _client(root, uri)
    index = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    name = index["experiment"]["experiment"]
    experiment_id = _experiment_id(client, root, uri, name)
    judged = (
        judging_version(),
        index["baseline"],
        index["experiment"].get("budget_gb"),
        index["experiment"]["log_images"],
        choice.key,
    )
    digest = _digest([list(results), judged])
    for run in client.search_runs(
        [experiment_id], f"tags.`{SWEEP_TAG}` = '{digest}' and attributes.status = 'FINISHED'"
    ):
        return run.info.run_id
    shown = Shown.of(index, *(str(result["person"]) for result in results))
    parent = open_parent(root, name, [result["key"] for result in results], shown, uri)
    varied = {setting["key"]: setting["varied"] for setting in index["settings"]}
    loads = {cell["setting"]: cell["load"] for cell in index["cells"]}
    logged = client.search_runs([experiment_id], f"tags.`{PARENT_TAG}` = '{parent.run}'", max_results=MANY)
    known = {run.data.tags.get(SETTING_TAG): run for run in logged}
    children = {}
    for key, cells in by_setting(results).items():
        setting = Setting(key, varied[key], tuple(cell["key"] for cell in cells), loads[key])
        children[key] = log_setting(parent, setting, out, known)
    for tag, value in {"sdaug.chosen": choice.key or "none", "sdaug.chosen_why": choice.why, SWEEP_TAG: digest}.items():
        client.set_tag(parent.run, tag, value)
    client.log_dict(parent.run, shown.anywhere(shown.hidden(index)), "sweep.json")
    if choice.key is not None:
        _register(client, children[choice.key], choice)
    client.set_terminated(parent.run, "FINISHED")
    return parent.run


def log_setting(parent: Parent, setting: Setting, out: Path, known: Mapping[Any, Any] | None = None) -> str:
    """The id of the one child run of a setting, which says what the results in `out` say; it is written if it does not
    yet. Every cell of it must have a result. known: the parent's runs by setting, None to look for this one."""
    client = _client(None, parent.uri)
    cells = [json.loads((out / "cells" / key / "result.json").read_text(encoding="utf-8")) for key in setting.cells]
    shown = parent.shown.and_names(*(str(cell["person"]) for cell in cells))
    digest = _digest([cells, judging_version()])
    if known is None:
        of = f"tags.`{PARENT_TAG}` = '{parent.run}' and tags.`{SETTING_TAG}` = '{setting.key}'"
        found = next(iter(client.search_runs([parent.experiment_id], of)), None)
    else:
        found = known.get(setting.key)
    if found and found.info.status != "KILLED" and found.data.tags.get(SWEEP_TAG) == digest:
        return found.info.run_id
    if found:  # somebody was killed while writing it, or what had failed was run again
        run = found.info.run_id
        client.set_terminated(run, "KILLED")
    else:
        tags = {PARENT_TAG: parent.run, SETTING_TAG: setting.key} | parent.git
        run = _born(client, parent.experiment_id, named(setting.varied), tags)
    notebooks = sorted((out / "notebooks").glob(f"{setting.load}*.ipynb"))
    _log_files(client, run, cells, notebooks, out, shown)
    _log_figures(client, run, cells, shown, digest)
    client.set_terminated(run, "FINISHED" if _whole(cells) else "FAILED")
    return run


def log_setting_early(parent: Parent, setting: Setting, out: Path) -> None:
    """`log_setting` on a worker, where a server that fails costs a warning: `log_sweep` logs what is missing."""
    from mlflow.exceptions import MlflowException

    try:
        check_store(parent.uri)
        log_setting(parent, setting, out)
    except (MlflowException, OSError, ValueError) as error:
        log.warning("%s is not logged yet, the sweep's end will do it: %s", named(setting.varied), error)


def _client(root: Path | None, uri: str | None = None) -> Any:
    if root is not None and uri is None:
        uri = store_uri(root)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri is not None and uri.startswith(SQLITE):
        _make_store(Path(uri.removeprefix(SQLITE)))
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _make_store(path: Path) -> None:
    """The SQLite store at `path`, if there is none: under another name until it is whole, for MLflow makes it by dozens
    of migrations and never mends one that was killed in between."""
    if path.exists():
        return
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as place:
        draft = Path(place) / path.name
        uri = f"{SQLITE}{draft}"
        MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
        try:
            os.link(draft, path)
        except FileExistsError:
            log.info("%s was made by somebody else meanwhile", path)


def _experiment_id(client: Any, root: Path, uri: str | None, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        log.warning("the experiment %s was deleted in MLflow; its name is restored, since it cannot be used anew", name)
        client.restore_experiment(found.experiment_id)
        for run in client.search_runs([found.experiment_id], max_results=MANY):
            client.delete_run(run.info.run_id)  # they come back with it, and were not wanted
    if found is not None:
        return found.experiment_id
    # A server keeps artefacts where it was told to.
    place = (root / "mlruns" / name).resolve().as_uri() if uri in (None, store_uri(root)) else None
    return client.create_experiment(name, artifact_location=place)


def _born(client: Any, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    tags = {"mlflow.runName": name, "sdaug.code": code_version()} | dict(tags)
    run = client.create_run(experiment_id, tags=tags).info.run_id
    client.set_terminated(run, "KILLED")
    return run


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _log_figures(client: Any, run: str, cells: Sequence[Mapping[str, Any]], shown: Shown, digest: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    finished = [cell for cell in cells if cell["status"] == "finished"]
    status = "finished" if _whole(cells) else "incomplete" if finished else str(cells[0]["status"])
    tags = {"sdaug.status": status, "sdaug.error": shown.anywhere(_first_error(cells))[:5000]} | _facts(finished)
    settings = cells[0]["settings"]
    params = [Param(name, json.dumps(value)) for name, value in flat(settings)]
    now = int(time.time() * 1000)
    figures = setting_metrics(cells)
    numbers = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
    client.log_dict(run, _split(shown.anywhere([row for cell in cells for row in cell_rows(cell)])), TABLE)
    client.log_dict(run, settings, "settings.json")
    client.log_dict(run, shown.anywhere(list(cells)), "results.json")
    tags |= {"mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}]), SWEEP_TAG: digest}
    client.log_batch(run, metrics=numbers, params=params, tags=[RunTag(*tag) for tag in tags.items()])


def _whole(cells: Sequence[Mapping[str, Any]]) -> bool:
    return all(cell["status"] == "finished" for cell in cells)


def _log_files(
    client: Any, run: str, cells: Sequence[Mapping[str, Any]], notebooks: Sequence[Path], out: Path, shown: Shown
) -> None:
    """The notebooks that executed these cells, without names and pictures where they must not be, and contact sheets
    where they may be.

    Those on the disk are not relied upon: they may be of a time when pictures were asked for, or tell of people who
    were turned then.
    """
    keys = {cell["key"] for cell in cells}
    for path in notebooks:
        executed, text = _executed(path, path.stat().st_mtime_ns, shown)
        if text and (keys & executed or not executed):
            client.log_text(run, text, f"notebooks/{path.name}")
    for cell in cells if shown.everything else ():
        sheet = out / "cells" / cell["key"] / "contact.png"
        if sheet.is_file():
            client.log_artifact(run, str(sheet), f"contact/{cell['key']}")


@lru_cache(maxsize=8)
def _executed(path: Path, mtime_ns: int, shown: Shown) -> tuple[frozenset[str], str]:
    """The keys of the calls that a notebook was executed for, and its text as it may be shown, "" where it is cut off:
    kept, for every setting of a kernel has the same one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        log.warning("%s is not logged: it is cut off, its kernel was killed while it was written", path)
        return frozenset(), ""
    calls = content.get("metadata", {}).get("papermill", {}).get("parameters", {}).get("calls", [])
    bare = content if shown.everything else without_pictures(content)
    return frozenset(call["key"] for call in calls), json.dumps(shown.and_calls(calls).anywhere(bare))


def _facts(finished: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Machines, versions and weights of the finished cells, as tags; none without one."""
    if not finished:
        return {}
    records = [cell["record"] for cell in finished]
    return {
        "sdaug.device": "; ".join(dict.fromkeys(str(cell["device"]) for cell in finished)),
        "sdaug.packages": _each([record["environment"]["packages"] for record in records]),
        "sdaug.weights": _each([(record["generator"].get("model") or {}).get("sha256", {}) for record in records]),
        "sdaug.pack": _each([record["pack"]["files"] for record in records]),
        "sdaug.photos": _each([record["source"]["sha256"] for record in records]),
    }


def _each(found: Sequence[Any]) -> str:
    """What cells have as JSON: the one thing if it is the same in all, else each different one, or how many they are
    where a tag has no room for them."""
    texts = list(dict.fromkeys(json.dumps(one, sort_keys=True) for one in found))
    whole = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return whole if len(whole) <= TAG_LENGTH else f"{len(texts)} different ones, in results.json"


def _first_error(cells: Sequence[Mapping[str, Any]]) -> str:
    return next((str(cell["error"]) for cell in cells if cell["status"] != "finished"), "")


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
    known = client.search_model_versions(f"name = '{RECIPE}' and run_id = '{run}'")
    version = known[0] if known else client.create_model_version(RECIPE, source, run_id=run, description=choice.why)
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


def read_runs(root: Path, name: str, uri: str | None = None) -> list[dict[str, Any]]:
    """Every run of an experiment as {run_id, status, tags, params, metrics}, newest first. uri: as of `log_sweep`."""
    client = _client(root, uri)
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
        for run in client.search_runs([experiment.experiment_id], max_results=MANY)
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
