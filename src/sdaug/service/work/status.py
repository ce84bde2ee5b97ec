"""What this worker's face pack and generator are, found out without loading the generator."""

from typing import Any

from sdaug.augmentor import GenerativeAugmentor
from sdaug.bands import find_band


def facts(augmentor: GenerativeAugmentor) -> dict[str, Any]:
    """Recogniser, thresholds, and whether the weights that `settings.model` names are here."""
    from sdaug.diffusion.components import WeightsError
    from sdaug.diffusion.weights import locate

    own = augmentor.pack.recognisers[0]
    band = find_band(own.sha256)
    settings = augmentor.settings
    reason = message = None
    if settings.backend != "diffusion":
        reason, message = "not_configured", "the service was started without a generative model"
    else:
        try:
            locate(settings.model)
        except WeightsError as error:
            reason, message = error.reason.value, str(error)
    return {
        "recogniser": {
            "name": own.name,
            "sha256": own.sha256,
            "dim": own.dim,
            "metric": own.metric,
            "threshold": settings.gate.min_similarity.get(own.name),
            "same_person": None if band is None else band.same_person,
        },
        "sd": {
            "available": reason is None,
            "model_name": settings.model.model_id,
            "reason": reason,
            "message": message,
        },
    }
