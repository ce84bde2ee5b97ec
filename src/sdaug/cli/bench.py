"""`sdaug bench`"""

import json
from functools import partial
from typing import Any

import click
from tqdm import tqdm

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


def _advance(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)
