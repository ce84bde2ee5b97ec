"""`sdaug engine`"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from sdaug.cli.options import out_folder
from sdaug.config import DEFAULT_MODEL, ModelSettings


@click.group()
def command() -> None:
    """UNet and ControlNet as ONNX graphs, for onnxruntime and TensorRT."""


model_option = click.option(
    "--model-id", default=DEFAULT_MODEL, show_default=True, help='Hub id, folder in diffusers layout, or "random".'
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")


@command.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder to write; free or empty.")
@model_option
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True,
              help="What the graphs compute in. TensorRT makes float16 of float32 by itself.")  # fmt: skip
@json_option
def build(out: str, model_id: str, dtype: str, as_json: bool) -> None:
    """Export UNet and ControlNet to ONNX, with every digest in a manifest."""
    from sdaug.diffusion.engine_build import build_engine

    folder = out_folder(out)
    with _failures():
        engine = build_engine(ModelSettings(model_id=model_id), folder, dtype=dtype, progress=_say)  # pyright: ignore[reportArgumentType]
    sizes = {name: (folder / name).stat().st_size for graph in engine.graphs.values() for name in graph.files}
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "bytes": sizes, **asdict(engine)}, indent=2))
        return
    click.echo(f"{engine.precision} engine, opset {engine.opset}: {folder}")
    for name, size in sizes.items():
        click.echo(f"  {name}: {size / 1e6:.1f} MB")


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
        click.echo("sound" if found.sound else "not sound")
    if not found.sound:
        raise click.exceptions.Exit(1)


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
