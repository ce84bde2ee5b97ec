"""What the service says of itself is so: its OpenAPI description's examples, and the table of errors for people."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sdaug.service.app import create_app
from sdaug.service.errors import EXAMPLES, STATUS
from sdaug.service.settings import ServiceSettings
from sdaug.types import Reason


@pytest.fixture(scope="module")
def description(tmp_path_factory) -> dict[str, Any]:
    return create_app(ServiceSettings(data=tmp_path_factory.mktemp("described") / "data")).openapi()


def examples_in(node: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where each example stands, its schema and itself."""
    if isinstance(node, list):
        for index, part in enumerate(node):
            yield from examples_in(part, f"{where}/{index}")
    if not isinstance(node, dict):
        return
    schema = node.get("schema", node)
    if "example" in node:
        yield where, schema, node["example"]
    many = node.get("examples", [])
    for value in many if isinstance(many, list) else [named["value"] for named in many.values()]:
        yield where, schema, value
    for name, part in node.items():
        if name not in ("example", "examples"):
            yield from examples_in(part, f"{where}/{name}")


def test_every_example_is_as_its_schema_says(description):
    found = list(examples_in(description))
    assert len(found) > 100
    for where, schema, value in found:
        check = Draft202012Validator(schema | {"components": description["components"]})
        assert [error.message for error in check.iter_errors(value)] == [], where


def test_every_error_status_shows_codes_of_its_own(description):
    shown = set()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            for status in {"400", "401", "404", "409", "413", "415", "422", "429", "503"} & set(operation["responses"]):
                examples = operation["responses"][status]["content"]["application/json"]["examples"]
                assert examples, (method, path, status)
                for code, example in examples.items():
                    assert example["value"]["code"] == code and EXAMPLES[code][0] == int(status), (path, code)
                shown |= set(examples)
    assert shown == set(EXAMPLES)
    assert (
        "no_key"
        not in description["paths"]["/api/session"]["post"]["responses"]["401"]["content"]["application/json"][
            "examples"
        ]
    )


def raised(root) -> set[tuple[int | None, str]]:
    """Status, where it stands beside it, and code of every error that the service's source makes."""
    package = root / "src" / "sdaug"
    files = [*(package / "service").rglob("*.py"), package / "face" / "photo.py", package / "choice.py"]
    found: set[tuple[int | None, str]] = {(404, "not_found"), (405, "method_not_allowed"), (400, "bad_request")}
    found |= {(503, "worker_stalled"), (422, "decode_timeout")}  # a lane's, chosen by a condition
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            name, args = node.func.id, [a.value if isinstance(a, ast.Constant) else None for a in node.args]
            if name == "ApiError" and isinstance(args[1], str):
                found.add((args[0], args[1]))
            elif name == "WorkerLost" and isinstance(args[0], str):
                found.add((503, args[0]))
            elif name == "PhotoError" and isinstance(node.args[0], ast.Attribute):
                reason = Reason[node.args[0].attr]
                found.add((STATUS.get(reason, 422), reason.value))
    return found


def test_every_error_that_is_raised_is_in_the_table(root):
    text = (root / "docs" / "api.md").read_text(encoding="utf-8").split("## Errors")[1].split("## Limits")[0]
    rows = {
        int(row[1]): set(re.findall(r"`([a-z_]+)`", row[2]))
        for row in re.finditer(r"^\| (\d{3}) \| (.*) \|$", text, re.M)
    }
    made = raised(root)
    assert len(made) > 40 and (413, "image_too_large") in made and (None, "bad_form") in made
    for status, code in made:
        assert code in (rows[status] if status else set().union(*rows.values())), (status, code)
    known = {code for _, code in made}
    assert {code for codes in rows.values() for code in codes} <= known, "nothing else is in the table"
    assert {"bad_form"} <= rows[400] & rows[413]
    assert set(EXAMPLES) <= known
