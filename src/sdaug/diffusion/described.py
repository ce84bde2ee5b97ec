"""What networks a model has, from the `config.json` of each: enough to count what they cost before they are read."""

from functools import lru_cache

from sdaug.config import RANDOM_MODELS, ModelSettings
from sdaug.costmodel.architecture import SD15, described
from sdaug.diffusion.components import WeightsError
from sdaug.diffusion.layout import read_json
from sdaug.diffusion.weights import beside_vae, locate


def networks_of(model: ModelSettings) -> str:
    """`costmodel.architecture.described` of the model, full-size SD1.5 for the random models and where no weights are.

    A model without a tiny VAE of its own is counted with TAESD in its place.

    >>> networks_of(ModelSettings(model_id="random-sd15"))
    ''
    >>> from sdaug.costmodel.architecture import dimensions
    >>> dimensions(networks_of(ModelSettings(model_id="sdaug-nano")))
    Dimensions(latents=16, hint=48, prompt=96)
    """
    return SD15 if model.model_id in RANDOM_MODELS else _networks(model.model_dump_json())


@lru_cache(maxsize=32)
def _networks(asked: str) -> str:
    try:
        files = locate(ModelSettings.model_validate_json(asked))
    except WeightsError:
        return SD15
    found = {name: path.parent for name, path in files.items()}
    tiny = beside_vae(files)
    if tiny is not None and (tiny / "config.json").is_file():
        found["tiny_vae"] = tiny
    return described({name: read_json(folder / "config.json") for name, folder in found.items()})
