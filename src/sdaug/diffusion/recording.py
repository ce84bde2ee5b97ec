"""What UNet and ControlNet are given while images are made, kept for calibration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdaug.config import GenerationSettings
from sdaug.diffusion.generator import DiffusionGenerator, Job
from sdaug.engine.export import residual_names
from sdaug.engine.residuals import residual_shapes


def record_calls(
    generator: DiffusionGenerator, jobs: Sequence[Job], settings: GenerationSettings, folder: Path
) -> tuple[dict[str, list[Path]], list[Any]]:
    """Makes the images of `jobs`; returns the .npz file of every call, by network and in order, and the images.

    folder: made here. A file holds each input of the exported graph by name, as float32. Images: `Generated`.
    """
    folder.mkdir()
    pipeline = generator.pipeline
    unet, controlnet = _Recorder("unet", pipeline.unet, folder), _Recorder("controlnet", pipeline.controlnet, folder)
    pipeline.unet, pipeline.controlnet = unet, controlnet
    try:
        made = list(generator.generate(jobs, settings))
    finally:
        pipeline.unet, pipeline.controlnet = unet.network, controlnet.network
    return {"unet": unet.files, "controlnet": controlnet.files}, made


class _Recorder:
    """A network that writes down what it is called with."""

    def __init__(self, name: str, network: Any, folder: Path) -> None:
        self.name, self.network, self.folder = name, network, folder
        self.files: list[Path] = []

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.network, attribute)

    def __call__(self, sample: Any, timestep: Any, encoder_hidden_states: Any, **more: Any) -> Any:
        inputs = {"sample": sample, "encoder_hidden_states": encoder_hidden_states}
        if self.name == "unet":
            inputs |= self._residuals(sample, more)
            if more.get("added_cond_kwargs"):
                (inputs["image_embeds"],) = more["added_cond_kwargs"]["image_embeds"]
        else:
            inputs["controlnet_cond"] = more["controlnet_cond"]
        arrays = {key: value.detach().float().cpu().numpy() for key, value in inputs.items()}
        arrays["timestep"] = np.array([float(timestep)], np.float32)
        if self.name == "controlnet":
            arrays["conditioning_scale"] = np.array([more["conditioning_scale"]], np.float32)
        self.files.append(self.folder / f"{self.name}-{len(self.files):05d}.npz")
        np.savez(self.files[-1], **arrays)  # pyright: ignore[reportArgumentType]  (numpy's stub of allow_pickle)
        return self.network(sample, timestep, encoder_hidden_states=encoder_hidden_states, **more)

    def _residuals(self, sample: Any, more: dict[str, Any]) -> dict[str, Any]:
        config = self.network.config
        down = more.get("down_block_additional_residuals")
        if down is None:
            shapes = residual_shapes(config, len(sample), *sample.shape[2:])
            parts = [sample.new_zeros(shape) for shape in shapes]
        else:
            parts = [*down, more["mid_block_additional_residual"]]
        return dict(zip(residual_names(config), parts, strict=True))
