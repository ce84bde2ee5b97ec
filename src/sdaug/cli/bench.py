"""`sdaug bench`"""

import json
from functools import partial
from typing import Any

import click
from tqdm import tqdm

from sdaug.cli.bench_counting import counting
from sdaug.cli.bench_predict import predict
from sdaug.cli.bench_published import published
from sdaug.cli.options import open_photo, pack_failure, pack_option, refusal


@click.group()
def command() -> None:
    """How fast is it on this machine?"""


@command.command()
@click.option("--photo", default="astronaut", show_default=True, help="The source: a file, or the built-in photo.")
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True, help="Rounds of ten views.")
@click.option(
    "--peer-rounds", type=click.IntRange(1), default=3, show_default=True, help="Views by scikit-image; slow."
)
@pack_option
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def warp(photo: str, rounds: int, peer_rounds: int, pack: str, as_json: bool) -> None:
    """Time a 512 px view after landmarks, beside scikit-image's piecewise affine warp and a plain copy."""
    from sdaug.bench.warp import bench_warp
    from sdaug.packs import PackError, load_pack
    from sdaug.types import PhotoError

    source = open_photo(photo)
    try:
        with tqdm(desc="rounds", unit="round", disable=None, leave=False) as bar:
            facts = bench_warp(source, load_pack(pack), rounds, peer_rounds, partial(_advance, bar)).facts()
    except PackError as error:
        raise pack_failure(error) from error
    except PhotoError as error:
        raise refusal(photo, error) from error
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for title, key in (("a view", "view_ms"), ("staging a photo", "stage_ms"), ("a stage and ten views", "ten_views")):
        click.echo(f"{title}: {facts[key]['p50']:.1f} ms, 90 % within {facts[key]['p90']:.1f} ms, n {facts[key]['n']}")
    for title, key in (("times faster than scikit-image", "ratio_to_peer"), ("copies long", "ratio_to_memcpy")):
        ratio = facts["intervals"][key]
        click.echo(f"a view is {ratio['value']:.0f} {title} ({ratio['low']:.0f} to {ratio['high']:.0f})")
    environment = facts["environment"]
    click.echo(f"{environment['processor']}, {environment['cores']} cores")


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def sweep(as_json: bool) -> None:
    """Time what a sweep adds to its cells: validating, running and resuming, on work of ten milliseconds."""
    from sdaug.bench.sweeping import bench_sweep

    facts = bench_sweep()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"{facts['validated']} cells validated in {facts['validating_s']:.2f} s")
    click.echo(f"{1000 * facts['overhead_a_cell_s']:.1f} ms a cell beyond its work and the start of the kernels")
    click.echo(f"a finished sweep of {facts['cells']} cells, run again: {facts['again_s']:.2f} s")
    for name, of in (
        ("whole_overhead_a_cell_s", "ten to a setting"),
        ("whole_overhead_a_setting_s", "one to a setting"),
    ):
        click.echo(f"`sdaug sweep` with all it does: {1000 * facts[name]:.1f} ms a cell, {of}")
    click.echo(f"the finished sweep, run again: {facts['whole_again_s']:.2f} s")
    late = [name for name, kept in facts["in_time"].items() if not kept]
    click.echo(f"above its limit: {', '.join(late)}" if late else "all within their limits")


@command.command()
@click.option("--model-id", default="random-sd15", show_default=True,
              help='Hub id, folder in diffusers layout, "random-sd15" (full size) or "random" (small).')  # fmt: skip
@click.option("--device", default="cuda", show_default=True, help="cuda or cpu; without a GPU the CPU is used.")
@click.option("--lever", "levers", multiple=True,
              help="For our pipeline alone, any number; none switches off those that are on by default.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Pairs that are compared.")
@click.option("--steps", type=click.IntRange(1, 20), default=None,
              help="Of stock's 20 that are run; 2 on a CPU, all on a GPU.")  # fmt: skip
@click.option("--size", type=click.IntRange(64, 1024), default=512, show_default=True, help="Pixels a side.")
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def pipeline(
    model_id: str, device: str, levers: tuple[str, ...], rounds: int, steps: int | None, size: int, as_json: bool
) -> None:
    """Time the diffusion pipeline beside diffusers' own on the same weights; count its memory."""
    from sdaug.bench.pipeline import bench_pipeline
    from sdaug.bench.timing import ImpossibleTime
    from sdaug.config import ModelSettings
    from sdaug.diffusion.components import WeightsError
    from sdaug.levers import LeverSkipped
    from sdaug.plugins import PluginError

    with tqdm(desc="weights", unit="round", disable=None, leave=False) as bar:

        def advance(what: str, done: int, total: int) -> None:
            bar.set_description(what)
            _advance(bar, done, total)

        try:
            model = ModelSettings(model_id=model_id, device=device)
            asked = {name: {} for name in levers if name != "none"} if levers else None
            bench = bench_pipeline(model, asked, rounds=rounds, steps=steps, size=size, progress=advance)
        except (PluginError, ValueError) as error:
            raise click.UsageError(str(error)) from error
        except (WeightsError, LeverSkipped, ImpossibleTime) as error:
            raise click.ClickException(str(error)) from error
    report = bench.report()
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    for title, key in (
        ("same settings", "ratio_same_settings"),
        ("5 evaluations an angle", "ratio_recommended_5"),
        ("10 evaluations an angle", "ratio_recommended_10"),
    ):
        ratio = report[key]
        click.echo(f"{title}: {ratio['value']:.3f} of stock's time ({ratio['low']:.3f} to {ratio['high']:.3f})")
    for peer in report["peers"].values():
        ratio, seconds = peer["ratio"]["quick"], peer["five_angles_s"]["value"]
        click.echo(
            f"beside diffusers with {peer['what']}: five angles take it {seconds:.0f} s, ours at 5 evaluations "
            f"{ratio['value']:.3f} of that ({ratio['low']:.3f} to {ratio['high']:.3f})"
        )
    click.echo(f"outside the networks: {report['overhead_fraction']['value']:.1%} of the time")
    for name, peak in report["peak_gb"].items():
        click.echo(f"{name}: {peak['value']:.2f} GB counted, batch of {peak['batch']}, {peak['dtype']}")
    for name, reason in report["levers_skipped"].items():
        click.echo(f"without {name}: {reason}")
    click.echo(report["method"])


@command.command()
@click.option("--photo", default="astronaut", show_default=True, help="The source: a file, or the built-in photo.")
@click.option("--model-id", default=None, help='Hub id, folder in diffusers layout, "random-sd15" or "random".')
@click.option("--device", default="cuda", show_default=True, help="cuda or cpu; without a GPU the CPU is used.")
@click.option("--set", "which", type=click.Choice(["mission", "levers"]), default="mission", show_default=True,
              help="The mission's four, or every lever alone beside none.")  # fmt: skip
@click.option("--images", type=click.IntRange(1, 10), default=5, show_default=True, help="Angles each.")
@click.option("--size", type=click.IntRange(64, 1024), default=512, show_default=True, help="Pixels a side.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Calls that are timed.")
@pack_option
@click.option("--json", "as_json", is_flag=True, help="Print every value as JSON.")
def configurations(
    photo: str,
    model_id: str | None,
    device: str,
    which: str,
    images: int,
    size: int,
    rounds: int,
    pack: str,
    as_json: bool,
) -> None:
    """Load and run settings one after the other: time, memory, likeness to the first."""
    from sdaug.bench.configurations import bench_configurations, every_lever, mission_configurations, table
    from sdaug.bench.timing import ImpossibleTime
    from sdaug.config import DEFAULT_MODEL, ModelSettings
    from sdaug.diffusion.components import WeightsError
    from sdaug.diffusion.libraries import import_libraries
    from sdaug.measure.environment import provenance
    from sdaug.packs import PackError, load_pack
    from sdaug.types import PhotoError

    source = open_photo(photo)
    model = ModelSettings(model_id=model_id or DEFAULT_MODEL, device=device)
    asked = mission_configurations() if which == "mission" else every_lever()
    import_s, origin = import_libraries(), provenance()
    with tqdm(desc="configurations", unit="configuration", disable=None, leave=False) as bar:

        def advance(what: str, done: int, total: int) -> None:
            bar.set_description(what)
            _advance(bar, done, total)

        try:
            rows = bench_configurations(source, load_pack(pack), model, asked, images, size, rounds, advance)
        except PackError as error:
            raise pack_failure(error) from error
        except PhotoError as error:
            raise refusal(photo, error) from error
        except ImpossibleTime as error:
            raise click.ClickException(str(error)) from error
        except WeightsError as error:
            hint = "with --model-id random-sd15 the full size is measured on random weights"
            raise click.ClickException(f"{error.reason.value}: {error}; {hint}") from error
    if as_json:
        report = {"schema": "sdaug.bench.configurations/3", "images": images, "size": size, "model_id": model.model_id}
        report |= {"import_s": import_s, "rounds": rounds} | origin
        rows_json = [row.report() for row in rows]
        click.echo(json.dumps(report | {"rows": rows_json}, indent=2))
        return
    click.echo(table(rows))


command.add_command(counting)
command.add_command(predict)
command.add_command(published)


def _advance(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
