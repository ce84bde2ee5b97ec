"""`sdaug engine`"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sdaug.cli.options import open_photo, out_folder, pack_failure, pack_option, refusal
from sdaug.config import DEFAULT_MODEL, ModelSettings


@click.group()
def command() -> None:
    """UNet and ControlNet as ONNX graphs, for onnxruntime and TensorRT."""


model_option = click.option(
    "--model-id", default=DEFAULT_MODEL, show_default=True, help='Hub id, folder in diffusers layout, or "random".'
)
model_file_option = click.option(
    "--model-file",
    type=click.Path(exists=True, dir_okay=False),
    default=None,
    help="YAML with any of `model`'s settings, as in an experiment file: lora, face_id, controlnet_id, revision ...",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")


@command.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder to write; free or empty.")
@model_option
@model_file_option
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="What float graphs compute in. TensorRT makes float16 of float32 by itself.",
)
@click.option("--int8", is_flag=True, help="Quantise, calibrated on the views of --calibration.")
@click.option(
    "--calibration",
    multiple=True,
    metavar="PHOTO",
    help="With --int8: a photo of a face, best several people's, one option each.",
)
@click.option(
    "--float-engine",
    type=click.Path(exists=True, file_okay=False),
    default=None,
    help="With --int8: a float32 engine of these weights, instead of exporting one.",
)
@click.option(
    "--activations",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    show_default=True,
    help="With --int8: int8 for TensorRT and ARM, uint8 for x86.",
)
@click.option(
    "--num-angles", type=click.IntRange(1, 10), default=5, show_default=True, help="With --int8: views of each photo."
)
@click.option(
    "--num-inference-steps",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="With --int8: of each view.",
)
@click.option(
    "--size",
    type=click.IntRange(64, 1024),
    default=512,
    show_default=True,
    help="With --int8: pixels a side of each view, a multiple of 64.",
)
@click.option(
    "--device",
    type=click.Choice(["cuda", "cpu"]),
    default="cuda",
    show_default=True,
    help="With --int8: what makes the views. Without a GPU the CPU is used.",
)
@pack_option
@json_option
def build(
    out: str, model_id: str, model_file: str | None, as_json: bool, int8: bool, calibration: tuple[str, ...], **how: Any
) -> None:
    """Export UNet and ControlNet to ONNX, with every digest in a manifest."""
    from sdaug.diffusion.engine_build import build_engine

    if int8 != bool(calibration):
        raise click.UsageError("--int8 and --calibration belong together: activations' ranges are seen on photos")
    folder = out_folder(out)
    model = _model({"model_id": model_id, "device": how["device"]}, model_file)
    with _failures():
        if int8:
            engine = _build_int8(model, folder, calibration, how)
        else:
            engine = build_engine(model, folder, dtype=how["dtype"], progress=_say)
    sizes = {name: (folder / name).stat().st_size for graph in engine.graphs.values() for name in graph.files}
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "bytes": sizes, **asdict(engine)}, indent=2))
        return
    click.echo(f"{engine.precision} engine, opset {engine.opset}: {folder}")
    for name, size in sizes.items():
        click.echo(f"  {name}: {size / 1e6:.1f} MB")
    if engine.quantisation is not None:
        _show_cost(engine.quantisation)


def _build_int8(model: ModelSettings, folder: Path, names: tuple[str, ...], how: dict[str, Any]) -> Any:
    from sdaug.diffusion.int8_build import CALIBRATION, build_int8_engine
    from sdaug.engine.quantise import Quantisation
    from sdaug.packs import PackError, load_pack
    from sdaug.types import PhotoError

    if how["size"] % 64:
        raise click.BadParameter(f"{how['size']} is no multiple of 64", param_hint="--size")
    photos = [open_photo(name) for name in names]
    settings = {name: how[name] for name in ("num_angles", "num_inference_steps", "size")}
    exact = how["float_engine"]
    try:
        return build_int8_engine(
            model,
            folder,
            photos,
            load_pack(how["pack"]),
            exact=None if exact is None else Path(exact),
            how=Quantisation(activations=how["activations"]),
            settings=CALIBRATION.model_copy(update=settings),
            progress=_say,
        )
    except PackError as error:
        raise pack_failure(error) from error
    except PhotoError as error:
        raise refusal("a calibration photo", error) from error


def _show_cost(quantisation: dict[str, Any]) -> None:
    cost = quantisation["cost"]
    for name, error in cost["relative_error"].items():
        click.echo(f"{name}: relative error {error['median']:.2g}, at worst {error['worst']:.2g}")
    for which in ("final", "diffused"):
        loss = cost["images"][which]
        decibels = "equal" if loss["psnr_db"]["median"] is None else f"{loss['psnr_db']['median']:.1f} dB"
        likeness = ", ".join(
            f"{name} {'not measured' if found['median'] is None else format(found['median'], '.3f')} (n {found['n']})"
            for name, found in loss["similarity"].items()
        )
        click.echo(f"{which} pictures beside float's: {decibels}, similarity {likeness}")


@command.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--model-id", default=None, help="Other weights than the manifest names.")
@click.option("--provider", type=click.Choice(["cpu", "cuda", "tensorrt"]), default="cpu", show_default=True,
              help="onnxruntime's execution provider.")  # fmt: skip
@json_option
def check(folder: str, model_id: str | None, provider: str, as_json: bool) -> None:
    """Compare digests, and answers with PyTorch's. Exit status 1 where one is wrong."""
    from sdaug.diffusion.engine_build import check_engine

    model = None if model_id is None else ModelSettings(model_id=model_id)
    with _failures():
        found = check_engine(Path(folder), provider=provider, model=model, progress=_say)  # pyright: ignore[reportArgumentType]
    if as_json:
        facts = {"sound": found.sound, "provider": provider, "precision": found.engine.precision}
        facts |= {"differences": [asdict(each) for each in found.differences]}
        facts |= {"quantisation": found.engine.quantisation}
        click.echo(json.dumps(facts, indent=2))
    else:
        for each in found.differences:
            case = f"batch {each.case.batch}, {each.case.height} x {each.case.width}"
            steered = "" if each.case.controlled else ", no residuals"
            click.echo(
                f"{each.network} ({case}{steered}): largest difference {each.max_abs:.2g} of {each.largest:.3g}, "
                f"relative {each.relative:.2g}"
            )
        if found.engine.quantisation is not None:
            _show_cost(found.engine.quantisation)
        click.echo("sound" if found.sound else "not sound")
    if not found.sound:
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--max-batch",
    type=click.IntRange(1, 64),
    default=10,
    show_default=True,
    help="Most images at once; guidance doubles them.",
)
@click.option("--size", type=click.IntRange(64, 1024), default=512, show_default=True, help="Pixels a side.")
def trtexec(folder: str, max_batch: int, size: int) -> None:
    """Print the trtexec commands that compile both graphs; nothing is run."""
    from sdaug.engine.manifest import read_manifest
    from sdaug.engine.session import trtexec_command

    where = Path(folder)
    with _failures():
        engine = read_manifest(where)
    for graph in engine.graphs.values():
        side = size // 8
        batches, sides = (1, min(2, max_batch), max_batch), (side, side, side)
        click.echo(trtexec_command(where, graph, batches=batches, sides=sides, int8=engine.precision == "int8"))


def _model(options: dict[str, Any], file: str | None) -> ModelSettings:
    """The settings of the options and, over them, of the file."""
    import yaml
    from pydantic import ValidationError

    try:
        content = {} if file is None else yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise click.BadParameter(f"{file} holds no settings by name", param_hint="--model-file")
        return ModelSettings.model_validate(options | content)
    except (yaml.YAMLError, ValidationError) as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--model-file") from error


def _say(what: str) -> None:
    click.echo(f"{what} ...", err=True)


@contextmanager
def _failures() -> Iterator[None]:
    """Engines and weights that cannot be used end the command with exit status 1."""
    from sdaug.diffusion.components import WeightsError
    from sdaug.engine.manifest import EngineError

    try:
        yield
    except WeightsError as error:
        raise click.ClickException(f"{error.reason.value}: {error}") from error
    except EngineError as error:
        raise click.ClickException(str(error)) from error
