"""UNet and ControlNet as ONNX graphs.

One UNet graph serves the steps with ControlNet and those without: where it is skipped the residuals are zeros. Adding
them is exact and costs SD1.5 13 MB of reading an image at 512 px in float16 (1 part in 10^4 of its arithmetic), a
second graph would cost the UNet's weights again, 1.7 GB.

The exporter is torch's own over torch.export (`dynamo=True`); the older one, over TorchScript, is deprecated in today's
torch. Opset 18 is the oldest that it writes without converting, and TensorRT 10.3 (JetPack 6) reads 9 to 20.
"""

import warnings
from pathlib import Path
from typing import Any, Literal

from sdaug.engine.manifest import Graph
from sdaug.engine.residuals import coarsest, residual_shapes
from sdaug.measure.digest import file_sha256

OPSET = 18
TOKENS = 77
"""Length of a prompt in CLIP's tokens, fixed."""

SCOPE = "pkg.torch.onnx.name_scopes"
"""Where a node says which module it comes from."""

Name = Literal["unet", "controlnet"]


def export_network(name: Name, network: Any, folder: Path, weights_sha256: dict[str, str]) -> Graph:
    """Writes `NAME.onnx` and its weights `NAME.onnx.data` into `folder`, in the number format the network is in.

    network: a UNet2DConditionModel, or a ControlNetModel whose `controlnet_cond_embedding` has been taken out (replaced
    by an Identity): its graph takes what that made of the control image. Batch and size of the latents stay open.
    weights_sha256: `fingerprint.fingerprints` of it.
    A UNet with a face adapter takes `image_embeds` (B, 1, 1, D) as well.
    """
    import torch

    config = network.config
    example = example_inputs(name, config, batch=2, side=2 * coarsest(config), dtype=network.dtype)
    dimensions = _dimensions(name, config)
    if (face := face_dim(network)) is not None:
        example["image_embeds"] = torch.ones(2, 1, 1, face, dtype=network.dtype)
        dimensions["image_embeds"] = {0: dimensions["sample"][0]}
    file = folder / f"{name}.onnx"
    outputs = ["prediction"] if name == "unet" else residual_names(config)
    with warnings.catch_warnings(), torch.no_grad():
        # Several inputs share a dimension by intent; the exporter says which of their names it keeps.
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
        program = torch.onnx.export(
            _graph(name, network).eval(),
            tuple(example.values()),
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes=(tuple(dimensions.values()),),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    _strip(program.model)
    program.save(file, external_data=True)
    files = {path.name: file_sha256(path) for path in sorted(folder.glob(f"{name}.onnx*"))}
    return Graph(file.name, weights_sha256, described_inputs(file), files)


def face_dim(network: Any) -> int | None:
    """Length of the face embedding that a UNet with one face adapter takes; None for a network without."""
    import torch

    projection = getattr(network, "encoder_hid_proj", None)
    if projection is None:
        return None
    return next(layer.in_features for layer in projection.modules() if isinstance(layer, torch.nn.Linear))


def _strip(model: Any) -> None:
    """Of what the exporter notes at each node only the module's name stays: the rest names files of this machine."""
    for node in model.graph.all_nodes():
        scope = node.metadata_props.get(SCOPE)
        node.metadata_props.clear()
        if scope is not None:
            node.metadata_props[SCOPE] = scope


def example_inputs(name: Name, config: Any, *, batch: int, side: int, dtype: Any, seed: int = 0) -> dict[str, Any]:
    """Random inputs of a graph by name, in order: unit normal tensors, `timestep` (1,) float32."""
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(dtype)

    inputs = {
        "sample": normal(batch, config["in_channels"], side, side),
        "timestep": torch.tensor([501.0]),
        "encoder_hidden_states": normal(batch, TOKENS, config["cross_attention_dim"]),
    }
    if name == "unet":
        for key, shape in zip(residual_names(config), residual_shapes(config, batch, side, side), strict=True):
            inputs[key] = normal(*shape)
    else:
        inputs["controlnet_cond"] = normal(batch, config["block_out_channels"][0], side, side)
        inputs["conditioning_scale"] = torch.ones(1)
    return inputs


def residual_names(config: Any) -> list[str]:
    """What the residuals are called, in the UNet's inputs and in ControlNet's outputs.

    >>> residual_names(dict(block_out_channels=(16, 32), layers_per_block=1))
    ['residual_00', 'residual_01', 'residual_02', 'residual_03', 'residual_mid']
    """
    count = len(residual_shapes(config, 1, 1, 1)) - 1
    return [*(f"residual_{i:02d}" for i in range(count)), "residual_mid"]


def described_inputs(file: Path) -> dict[str, list[Any]]:
    """Of an ONNX file: input name -> [number format, dimension ...]."""
    import onnx

    return {
        value.name: [
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower(),
            *(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        ]
        for value in onnx.load(file, load_external_data=False).graph.input
    }


def _dimensions(name: Name, config: Any) -> dict[str, Any]:
    """Which dimensions stay open. Sizes are multiples of what the deepest layer sees as one latent."""
    import torch

    dim, deepest = torch.export.Dim, coarsest(config)
    batch, height, width = dim("batch", min=1, max=1024), dim("height", min=1, max=1024), dim("width", min=1, max=1024)

    def images(shrink: int) -> dict[int, Any]:
        scale = deepest // shrink
        return {0: batch, 2: height if scale == 1 else scale * height, 3: width if scale == 1 else scale * width}

    open_ones: dict[str, Any] = {"sample": images(1), "timestep": None, "encoder_hidden_states": {0: batch}}
    if name == "unet":
        for key, (_, _, h, _) in zip(residual_names(config), residual_shapes(config, 1, deepest, 1), strict=True):
            open_ones[key] = images(deepest // h)
    else:
        open_ones |= {"controlnet_cond": images(1), "conditioning_scale": None}
    return open_ones


def _graph(name: Name, network: Any) -> Any:
    """The network as a module over flat inputs, in the order of `example_inputs`."""
    import torch

    class Unet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:
            sample, timestep, encoder_hidden_states, *residuals = inputs
            face = {"image_embeds": [residuals.pop()]} if face_dim(self.network) is not None else None
            return self.network(
                sample,
                timestep,
                encoder_hidden_states=encoder_hidden_states,
                down_block_additional_residuals=tuple(residuals[:-1]),
                mid_block_additional_residual=residuals[-1],
                added_cond_kwargs=face,
                return_dict=False,
            )[0]

    class ControlNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:
            sample, timestep, encoder_hidden_states, controlnet_cond, conditioning_scale = inputs
            down, middle = self.network(
                sample,
                timestep,
                encoder_hidden_states=encoder_hidden_states,
                controlnet_cond=controlnet_cond,
                conditioning_scale=conditioning_scale.to(sample.dtype),
                return_dict=False,
            )
            return (*down, middle)

    return Unet() if name == "unet" else ControlNet()
