"""The settings that are planned where no experiment file is named; `experiments/jetson.yaml` has the same ones."""

from typing import Any

from sdaug.bench.configurations import mission_configurations
from sdaug.config import RunSettings
from sdaug.planning.settings import Asked
from sdaug.recipes import RECIPES

FEW: dict[str, Any] = {"num_inference_steps": 4, "hole_strength": 1.0}
"""Four evaluations for holes with a few-step LoRA (LCM), ControlNet on all of them, no guidance."""

SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}

_TINY: dict[str, dict[str, Any]] = {"tiny_vae": {}, "vae_slicing": {}, "prompt_cache": {}}


def standard_settings(half: str = "float16") -> list[Asked]:
    """The mission's four configurations, the recipes, and few-step ones. half: the smallest format; what the
    mission wants in FP16 is in it and named after it. Where that is float32 its FP16 is its FP32, and stands once."""
    precision: dict[str, dict[str, Any]] = {"precision": {"dtype": half}}
    found = [
        _asked(
            one.name.replace("fp16", SHORT[half]),
            one.generation,
            one.levers | (precision if one.levers["precision"]["dtype"] != "float32" else {}),
        )
        for one in mission_configurations()
        if not (half == "float32" and one.name == "fp16")
    ]
    # The mission's own "optimised" is the recipe "quick" without its prompt cache.
    balanced = RECIPES["balanced"]
    found.append(_asked("balanced", balanced["generation"], precision | balanced["levers"]))
    lcm = {"lora": {"kind": "lcm"}}
    standard = {"vae_slicing": {}, "free_vae_encoder": {}, "prompt_cache": {}}
    few = FEW | {"batch_size": 5}
    return [
        *found,
        _asked("few_steps", few, precision | _TINY, lcm),
        _asked("few_steps_standard_vae", few, precision | standard, lcm),
        _asked("few_steps_one_at_a_time", few | {"batch_size": 1}, precision | _TINY, lcm),
        _asked("few_steps_graphs", few, precision | _TINY | {"cuda_graphs": {}}, lcm),
        _asked("few_steps_compiled", few, precision | _TINY | {"torch_compile": {"regional": False}}, lcm),
        _asked("few_steps_8_bit_storage", few, precision | _TINY | {"fp8_storage": {}}, lcm),
    ]


def _asked(
    name: str, generation: dict[str, Any], levers: dict[str, dict[str, Any]], model: dict[str, Any] | None = None
) -> Asked:
    content = {"generation": generation, "levers": levers, "model": model or {}}
    return Asked(name, RunSettings.model_validate(content))


def local_settings() -> list[Asked]:
    """Short calls of SD1.5's size on random weights in float32, which a processor makes in seconds each; of sizes whose
    maps no operator is timed on (`costmodel.operators`)."""

    def asked(name: str, levers: dict[str, Any], **generation: Any) -> Asked:
        short = {"num_inference_steps": 2, "hole_strength": 1.0, "num_angles": 1, "size": 320}
        return _asked(name, short | generation, levers, {"model_id": "random-sd15", "device": "cpu"})

    return [
        asked("tiny VAE", {"tiny_vae": {}}),
        asked("guided", {}, guidance_scale=7.5),
        asked("no ControlNet", {}, controlnet_conditioning_scale=0.0),
        asked("two at once, gated", {"tiny_vae": {}}, num_angles=2, num_inference_steps=3, control_guidance_end=0.4),
        asked("448 px", {}, size=448),
        asked("448 px, tiny VAE", {"tiny_vae": {}}, size=448, num_inference_steps=1),
    ]
