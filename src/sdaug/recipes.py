"""Settings that are recommended, by name: what a call is asked for, and the levers that go with it."""

from typing import Any

# Slicing costs nothing, and without it five images in the tiny VAE are the peak of the whole call.
RECIPES: dict[str, dict[str, Any]] = {
    # With a hole strength of 0.9: 5 of 6 steps, ControlNet on the first 4 of them.
    "quick": {
        "generation": {"num_inference_steps": 6, "control_guidance_end": 0.8, "scheduler": "ddim_trailing"},
        "levers": {"tiny_vae": {}, "vae_slicing": {}, "prompt_cache": {}},
    },
    # What sdaug-nano does best: 2 of 4 steps, which leave enough of the warp's own filling to go by.
    "small": {"generation": {"num_inference_steps": 4, "hole_strength": 0.5}, "levers": {}},
    # 10 of 12 steps, ControlNet on the first 6.
    "balanced": {
        "generation": {"num_inference_steps": 12, "control_guidance_end": 0.6, "scheduler": "ddim_trailing"},
        "levers": {"tiny_vae": {}, "vae_slicing": {}, "prompt_cache": {}},
    },
}
"""`generation` and `levers` as in RunSettings. Neither uses guidance, so that one UNet evaluation an image and step is
all there is; what fewer steps do to a picture depends on the weights (a few-step LoRA is made for them)."""
