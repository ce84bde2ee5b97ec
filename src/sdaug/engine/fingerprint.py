"""Which weights an engine was made from."""

import hashlib
import json
from typing import Any

HINT = "controlnet_cond_embedding."
"""The part of a ControlNet that is run apart, before the engine."""

FORMATS = ("float32", "float16", "bfloat16")


def network_sha256(network: Any, rounded_to: str | None = None) -> str:
    """Hex digest of a network's configuration and of every weight as float32, a ControlNet's hint network left out.

    rounded_to: a number format that every weight goes through first; None is the one that it has. What was fused into
    the weights, a few-step LoRA for one, changes the digest, and so does the scale of a face adapter.
    """
    import torch

    settings = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}
    processors = sorted(getattr(network, "attn_processors", {}).items())
    settings["scales"] = {name: each.scale for name, each in processors if hasattr(each, "scale")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(HINT):
            numbers = tensor.detach() if rounded_to is None else tensor.detach().to(getattr(torch, rounded_to))
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(numbers.to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()


def fingerprints(network: Any) -> dict[str, str]:
    """The digest in each number format that the network may have been rounded to when it is compared.

    network: float32.
    """
    return {name: network_sha256(network, name) for name in FORMATS}
