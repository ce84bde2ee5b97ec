"""`sdaug evaluate gain`"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from tqdm import tqdm

from sdaug.cli.options import FACES_VARIABLE, pack_failure, pack_option


@click.command()
@click.option(
    "--faces", default=None,
    help=f"Folder of <subject>_<key>.<ext>, several photos a person.  [default: ${FACES_VARIABLE}/turning]",
)  # fmt: skip
@pack_option
@click.option(
    "--model", "model_id", default=None, help="Hub id or folder: also the arm `diffusion`.  [default: without it]"
)
@click.option("--limit", type=click.IntRange(3), default=None, help="At most so many people.")
@click.option("--gate", "gate_file", type=click.Path(exists=True, dir_okay=False), default=None,
              help="YAML file of gate settings.  [default: those of every other command]")  # fmt: skip
@click.option("--probe-face-px", type=click.FloatRange(8), default=None, help="Probes as small as under surveillance.")
@click.option("--probe-blur-px", type=click.FloatRange(0), default=0.0, show_default=True,
              help="Gaussian blur of the small probe, sigma.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def gain(
    faces: str | None,
    pack: str,
    model_id: str | None,
    limit: int | None,
    gate_file: str | None,
    probe_face_px: float | None,
    probe_blur_px: float,
    as_json: bool,
) -> None:
    """Enrol each person's most frontal photo, alone and with generated views, and compare the error rates.

    FNMR at equal FMR on probes that no arm has seen. The verdict may be "no gain".
    """
    import yaml

    from sdaug.config import GateSettings, ModelSettings
    from sdaug.evaluation.gain.faceset import Degradation
    from sdaug.evaluation.gain.gather import evaluate_gain
    from sdaug.evaluation.gain.text import gain_text
    from sdaug.packs import PackError, load_pack

    try:
        content = {} if gate_file is None else yaml.safe_load(Path(gate_file).read_text(encoding="utf-8"))
        gate = GateSettings.model_validate(content)
    except (yaml.YAMLError, ValueError) as error:
        raise click.UsageError(f"{gate_file} holds no gate settings: {error}") from error
    folder = Path(faces or os.path.join(os.environ.get(FACES_VARIABLE, ""), "turning"))
    try:
        loaded = load_pack(pack)
    except PackError as error:
        raise pack_failure(error) from error
    with _bar() as progress:
        try:
            report = evaluate_gain(
                folder,
                loaded,
                gate=gate,
                degradation=Degradation(face_px=probe_face_px, blur_px=probe_blur_px),
                model=None if model_id is None else ModelSettings(model_id=model_id),
                limit=limit,
                progress=progress,
            )
        except FileNotFoundError as error:
            raise click.UsageError(str(error)) from error
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        finally:
            loaded.close()
    click.echo(json.dumps(report, indent=2) if as_json else gain_text(report))


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar for each stage."""
    bars: dict[str, tqdm] = {}

    def advance(what: str, done: int, of: int) -> None:
        bar = bars.setdefault(what, tqdm(total=of, desc=what, disable=None, leave=False))
        bar.update(done - bar.n)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()
