"""Which weights an engine was made from."""

import hashlib
import json
from typing import Any

HINT = "controlnet_cond_embedding."
"""The part of a ControlNet that is run apart, before the engine."""


def network_sha256(network: Any) -> str:
    """Hex digest of a network's configuration and of every weight as float32, a ControlNet's hint network left out.

    The same whatever number format the file had. What a lever changed before, such as a LoRA fused in, changes it.
    """
    import torch

    settings = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(HINT):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()
