"""Stable Diffusion 1.5 + ControlNet: weights, the denoising loop, and what generates with them."""
