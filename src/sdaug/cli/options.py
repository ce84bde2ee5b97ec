"""What several commands share: the settings they build, the photo they read, the bar they draw."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from sdaug.config import DEFAULT_MODEL, RANDOM_MODELS, RunSettings
from sdaug.face.photo import read_photo
from sdaug.packs import PackError
from sdaug.photos import photo_path
from sdaug.recipes import RECIPES
from sdaug.types import Photo, PhotoError, Reason

PACK_VARIABLE = "SDAUG_FACE_PACK"
FACES_VARIABLE = "SDAUG_FACES"


pack_option = click.option(
    "--pack", default="embedded", show_default=True, envvar=PACK_VARIABLE, show_envvar=True,
    help="Face pack: embedded, buffalo_l, or an insightface folder.",
)  # fmt: skip


def generation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that makes images."""
    for option in reversed(
        [
            click.option("--num-angles", type=click.IntRange(1, 10), default=5, show_default=True, help="Poses."),
            click.option(
                "--backend", type=click.Choice(["diffusion", "warp"]), default="diffusion", show_default=True,
                help="diffusion falls back to the warp where it cannot run, and says so.",
            ),
            click.option("--model", "model_id", default=DEFAULT_MODEL, show_default=True,
                         help='Hub id, folder in diffusers layout, "sdaug-nano" (comes with the package), "random".'),
            click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True,
                         help="Without a GPU the CPU is used."),
            pack_option,
            click.option("--face", "which", default=None, help="Which of several faces: largest, or an index."),
            click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Noise seed."),
            click.option("--gate-rule", type=click.Choice(["sdaug", "mission"]), default="sdaug", show_default=True,
                         help="What decides; the other's answer is recorded too."),
            click.option("--budget-gb", type=click.FloatRange(0, min_open=True), default=None,
                         help="GB (10^9 bytes) that diffusion's tensors may take, as counted before loading."),
            click.option("--recipe", type=click.Choice(list(RECIPES)), default=None,
                         help="Recommended steps and levers; by default 20 steps and none."),
            click.option("--strict", is_flag=True, help="Fail rather than fall back to another rung."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


cohort_option = click.option(
    "--cohort", type=click.Path(exists=True, file_okay=False), default=None,
    help="Folder of other people's photos, one each: no view may be closer to one of them.",
)  # fmt: skip
"""Not among `generation_options`: a sweep's settings bring none."""


chosen_option = click.option(
    "--chosen", type=click.Path(exists=True, dir_okay=False), help="A sweep's chosen.json: use its settings."
)


def chosen_settings(chosen: str, options: dict[str, Any]) -> RunSettings:
    """The settings that a sweep chose, which make no view where none passed; `options`: those of `generation_options`,
    which must not have been given."""
    source = click.get_current_context().get_parameter_source
    if extra := [name for name in options if source(name) is ParameterSource.COMMANDLINE and name != "which"]:
        raise click.UsageError(f"--chosen brings its own settings; leave out {', '.join(extra)}")
    try:
        choice = json.loads(Path(chosen).read_text(encoding="utf-8"))
        if choice["key"] is None:
            click.echo(f"{chosen}: {choice['why']}; the photo is enrolled alone", err=True)
        return RunSettings(**choice["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{chosen} is not a sweep's choice: {error}") from error


@contextmanager
def exit_status(photos: str, *usage: type[Exception]) -> Iterator[None]:
    """Errors of making images as a command's end: 1 where a photo is refused, generation fails, a lever does not apply
    or memory runs out, 2 for a face pack or cohort that does not exist and for what else `usage` names. `photos`: what
    the message calls the photo."""
    from sdaug.cohort import CohortError
    from sdaug.diffusion.budget import BudgetTooSmall
    from sdaug.diffusion.descent import out_of_memory
    from sdaug.diffusion.weights import WeightsError
    from sdaug.ladder import GenerationFailed
    from sdaug.levers import LeverSkipped

    try:
        yield
    except PhotoError as error:
        raise refusal(photos, error) from error
    except PackError as error:
        raise pack_failure(error) from error
    except (WeightsError, GenerationFailed, BudgetTooSmall) as error:
        raise click.ClickException(f"{error.reason.value}: {error}") from error
    except LeverSkipped as error:
        raise click.ClickException(f"a lever does not apply: {error}") from error
    except (CohortError, *usage) as error:
        raise click.UsageError(str(error)) from error
    except Exception as error:
        if out_of_memory(error):  # under --strict
            raise click.ClickException(f"{Reason.OUT_OF_MEMORY.value}: {error}") from error
        raise


def run_settings(options: dict[str, Any]) -> RunSettings:
    """The settings that `generation_options` describe."""
    recipe = RECIPES.get(options["recipe"], {"generation": {}, "levers": {}})
    return RunSettings(
        backend=options["backend"],
        pack=options["pack"],
        strict=options["strict"],
        budget_gb=options["budget_gb"],
        model={"model_id": options["model_id"], "device": options["device"]},  # type: ignore[arg-type]
        generation=recipe["generation"] | {"num_angles": options["num_angles"], "seed": options["seed"]},
        levers={
            name: lever
            for name, lever in recipe["levers"].items()
            # The random models have no text encoder whose answer could be kept.
            if name != "prompt_cache" or options["model_id"] not in RANDOM_MODELS
        },
        gate={"rule": options["gate_rule"]},  # type: ignore[arg-type]
    )


def chosen_face(which: str | None) -> int | str | None:
    """`--face` as `augment` takes it."""
    if which is None or which == "largest":
        return which
    if not which.isdigit():
        raise click.BadParameter(f"{which!r} is neither 'largest' nor an index", param_hint="--face")
    return int(which)


def open_photo(name: str) -> Photo:
    """The photo behind a name: no such file is a wrong use, an unusable file a refusal."""
    try:
        return read_photo(photo_path(name))
    except FileNotFoundError as error:
        raise click.UsageError(str(error)) from error
    except PhotoError as error:
        raise refusal(name, error) from error


def refusal(name: str, error: PhotoError) -> click.ClickException:
    """A refused photo as a command's end, exit status 1."""
    return click.ClickException(f"{os.path.basename(name)} refused ({error.reason.value}): {error}")


def pack_failure(error: PackError) -> click.UsageError:
    """A face pack that does not exist is a wrong use, exit status 2."""
    return click.UsageError(str(error))


def out_folder(path: str) -> Path:
    """An output path, absolute."""
    return Path(os.path.abspath(path))


def hold(folder: Path) -> None:
    """No other process works in `folder`, which is made, until the command ends; a wrong use where one does."""
    from sdaug.alone import LOCK, Busy, alone

    try:
        click.get_current_context().with_resource(alone(folder / LOCK, wait=False))
    except Busy as error:
        raise click.UsageError(str(error)) from error
