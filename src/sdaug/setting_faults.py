"""Settings from an experiment file, or every fault of them in words: the place, the value, what is known there."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from sdaug import plugins
from sdaug.config import Config, RunSettings, nearest
from sdaug.diffusion.lora import FEW_STEP
from sdaug.levers import LeverSkipped, check_together
from sdaug.packs import PackError, check_pack


def validated(
    base: Mapping[str, Any], varied: Mapping[str, Any], faults: list[str], check: Callable[[str, str, str], str]
) -> RunSettings | None:
    """The settings of one cell, or None with every fault appended to `faults`."""
    known = len(faults)
    tree = copy.deepcopy(dict(base))
    for dotted, value in varied.items():
        _put(tree, dotted, value, faults)
    faults.extend(_plugin_faults(tree, check))
    try:
        settings = RunSettings(**tree)
    except ValidationError as error:
        faults.extend(spoken(error, RunSettings))
        return None
    try:
        check_pack(settings.pack)
        if len(faults) == known:
            check_together({name: plugins.load("sdaug.levers", name, of) for name, of in settings.levers.items()})
    except PackError as error:
        faults.append(f"pack: {error}")
    except LeverSkipped as error:
        faults.append(f"levers: {error}")
    faults.extend(_few_step_faults(settings))
    if settings.backend == "none":
        faults.append("backend: 'none' makes no view, and views are what is compared; expected 'diffusion' or 'warp'")
    return settings if len(faults) == known else None


def _few_step_faults(settings: RunSettings) -> list[str]:
    lora, scale = settings.model.lora, settings.generation.guidance_scale
    if lora is None or scale <= 1 or FEW_STEP[lora.kind].guidance_scale > 1:
        return []
    return [f"setting 'generation.guidance_scale' is {scale:g}: model.lora {lora.kind!r} runs without guidance, at 1"]


def _plugin_faults(tree: Mapping[str, Any], check: Callable[[str, str, str], str]) -> list[str]:
    """Unknown levers, quality measures and recognisers, and unknown options of known ones."""
    faults = []
    gate = tree.get("gate")
    gate = gate if isinstance(gate, dict) else {}
    quality = [("sdaug.quality", f"gate.{group}", gate.get(group)) for group in ("measures", "reported")]
    for package, place, chosen in (("sdaug.levers", "levers", tree.get("levers")), *quality):
        for name, options in chosen.items() if isinstance(chosen, dict) else ():
            if fault := check(package, name, json.dumps(options, default=str)):
                faults.append(f"{place}.{name}: {fault}")
    similar = gate.get("min_similarity")
    if not isinstance(similar, dict):
        return faults
    known = plugins.names("sdaug.recognition")
    unknown = [name for name in similar if name not in known]
    place = "gate.min_similarity"
    return faults + [f"{place}.{name}: unknown recogniser {name!r}; {nearest(str(name), known)}" for name in unknown]


def plugin_fault(package: str, name: str, options: str) -> str:
    """What is wrong with a plug-in's name or options (JSON), "" for nothing."""
    try:
        plugins.load(package, name, json.loads(options))
    except (plugins.PluginError, TypeError) as error:
        return str(error)
    return ""


def _put(tree: dict[str, Any], dotted: str, value: Any, faults: list[str]) -> None:
    """Sets `a.b.c` in nested dictionaries; a lever set to null is taken out."""
    *parents, last = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            faults.append(f"setting {parent!r} is {tree!r}; expected a mapping, since {dotted!r} is varied")
            return
    if value is None and parents == ["levers"]:
        tree.pop(last, None)
    else:
        tree[last] = value


def spoken(error: ValidationError, model: type[Config]) -> list[str]:
    """Each pydantic fault in our words: the place, the value, what is known there."""
    faults = []
    for fault in error.errors():
        # Which member of a union was tried, as "list[any]", is no part of the file.
        place = ".".join(str(part) for part in fault["loc"] if "[" not in str(part))
        if fault["type"] == "extra_forbidden":
            faults.append(
                f"unknown setting {place!r}; {nearest(str(fault['loc'][-1]), _known(model, fault['loc'][:-1]))}"
            )
        elif fault["type"] == "missing":
            faults.append(f"setting {place!r} is missing")
        elif not place:
            faults.append(fault["msg"].removeprefix("Value error, "))
        else:
            faults.append(f"setting {place!r} is {fault['input']!r}: {fault['msg']}")
    return faults


def _known(model: type[Config], place: tuple[Any, ...]) -> list[str]:
    """The fields of what is at `place`: the innermost of our models on the way there, in whatever holds it."""
    here = [model]
    for part in place:
        fields = [one.model_fields[part].annotation for one in here if part in one.model_fields]
        here = [*_models(fields)] or here
    return [name for one in here for name in one.model_fields]


def _models(annotations: Sequence[Any]) -> Iterator[type[Config]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, Config):
            yield annotation
        yield from _models(get_args(annotation))
