"""What was fetched: a small file for each model, against which it is checked later."""

import json
from pathlib import Path
from typing import Any

from sdaug.measure.cache import cache_folder
from sdaug.record import write_json

SCHEMA = "sdaug.pulled/1"


def record_path(name: str) -> Path:
    """Where the record of the model called `name` lies."""
    return cache_folder() / "pulled" / f"{name}.json"


def write_record(name: str, facts: dict[str, Any]) -> None:
    """facts: source, revision, licence, folder, and of each file its size in bytes and sha256."""
    path = record_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema": SCHEMA, "name": name, **facts})


def read_record(name: str) -> dict[str, Any] | None:
    """The record, None where there is none. Raises `ValueError` for one that cannot be used."""
    path = record_path(name)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("files"), dict):
        raise ValueError(f"{path} is no {SCHEMA}; pull the model again")
    return record
