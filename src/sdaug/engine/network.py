"""An exported network, called as the PyTorch one was."""

from collections.abc import Sequence
from typing import Any

from sdaug.engine.export import residual_names
from sdaug.engine.manifest import EngineError
from sdaug.engine.residuals import coarsest, residual_shapes


class OnnxNetwork:
    """What `OnnxUnet` and `OnnxControlNet` share: one session, fed with tensors in place and without copies.

    config: the PyTorch network's. device: where tensors come from and go to; the same as the provider's, or they are
    copied by onnxruntime. dtype: the graph's own number format; tensors of another are converted on their way in and
    the answer back.
    """

    def __init__(self, session: Any, config: Any, device: Any) -> None:
        import torch

        self._session = session
        self.config = config
        self.device = torch.device(device)
        formats = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
        found = {put.name: put.type for put in (*session.get_inputs(), *session.get_outputs())}
        if strange := sorted(set(found.values()) - set(formats)):
            raise EngineError(f"the graph has inputs or outputs of {strange}; {sorted(formats)} expected")
        self._formats = {name: formats[kind] for name, kind in found.items()}
        self.dtype = self._formats["sample"]
        self._inputs = [put.name for put in session.get_inputs()]
        self._outputs = [put.name for put in session.get_outputs()]

    def close(self) -> None:
        """Give the session's memory back. The network cannot be called any more."""
        self._session = None

    def _run(self, inputs: dict[str, Any], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
        """Outputs of these `shapes`, in the graph's order, for `inputs` by name."""
        import numpy as np
        import torch

        if self._session is None:
            raise RuntimeError("this engine is closed")
        if sorted(inputs) != sorted(self._inputs):
            raise EngineError(f"the graph takes {self._inputs}; given are {list(inputs)}")
        binding = self._session.io_binding()
        kind, index = self.device.type, self.device.index or 0
        numbers = {torch.float16: np.float16, torch.float32: np.float32}
        held = {}  # what the binding points into
        for name, tensor in inputs.items():
            held[name] = tensor.detach().to(self.device, self._formats[name]).contiguous()
            where = (tuple(tensor.shape), held[name].data_ptr())
            binding.bind_input(name, kind, index, numbers[held[name].dtype], *where)
        answers = [
            torch.empty(shape, dtype=self._formats[name], device=self.device)
            for name, shape in zip(self._outputs, shapes, strict=True)
        ]
        for name, tensor in zip(self._outputs, answers, strict=True):
            binding.bind_output(name, kind, index, numbers[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())
        if kind == "cuda":  # onnxruntime has a stream of its own
            torch.cuda.current_stream(self.device).synchronize()
        self._session.run_with_iobinding(binding)
        return answers

    def _common(self, sample: Any, timestep: Any, encoder_hidden_states: Any) -> dict[str, Any]:
        import torch

        multiple, (_, _, height, width) = coarsest(self.config), sample.shape
        if height % multiple or width % multiple:
            raise ValueError(f"latents of {height} x {width}; multiples of {multiple} expected")
        moment = torch.as_tensor(timestep).reshape(-1)
        if len(moment) > 1 and bool((moment != moment[0]).any()):
            raise ValueError("an engine takes one timestep for the whole batch; several were given")
        tokens = encoder_hidden_states.shape[1:]
        if tuple(tokens) != (77, self.config["cross_attention_dim"]):
            expected = (77, self.config["cross_attention_dim"])
            raise ValueError(f"encoder_hidden_states of {tuple(tokens)} an image; {expected} expected")
        return {"sample": sample, "timestep": moment[:1], "encoder_hidden_states": encoder_hidden_states}


class OnnxUnet(OnnxNetwork):
    """Called like UNet2DConditionModel, `return_dict=False` only; without residuals it adds zeros."""

    def __init__(self, session: Any, config: Any, device: Any) -> None:
        super().__init__(session, config, device)
        self._zeros: list[Any] = []

    def __call__(
        self,
        sample: Any,
        timestep: Any,
        encoder_hidden_states: Any,
        *,
        down_block_additional_residuals: Sequence[Any] | None = None,
        mid_block_additional_residual: Any = None,
        added_cond_kwargs: dict[str, Any] | None = None,
        return_dict: bool = False,
    ) -> tuple[Any]:
        """(B, 4, h, w), the noise prediction, in a tuple. Raises ValueError for what the graph does not take."""
        given, takes = sorted(added_cond_kwargs or {}), "image_embeds" in self._inputs
        if given != (["image_embeds"] if takes else []):
            what = "a" if takes else "no"
            raise ValueError(f"added_cond_kwargs hold {given}; this engine was exported with {what} face embedding")
        if return_dict:
            raise ValueError("an engine answers with a tuple; return_dict=False expected")
        inputs = self._common(sample, timestep, encoder_hidden_states)
        if down_block_additional_residuals is None:
            residuals: Sequence[Any] = self._no_residuals(sample)
        else:
            residuals = [*down_block_additional_residuals, mid_block_additional_residual]
        inputs |= dict(zip(residual_names(self.config), residuals, strict=True))
        if added_cond_kwargs:
            (inputs["image_embeds"],) = added_cond_kwargs["image_embeds"]
        shape = (len(sample), self.config["out_channels"], *sample.shape[2:])
        return (self._run(inputs, [shape])[0].to(sample.device, sample.dtype),)

    def _no_residuals(self, sample: Any) -> list[Any]:
        import torch

        shapes = residual_shapes(self.config, len(sample), *sample.shape[2:])
        if [tuple(zero.shape) for zero in self._zeros] != shapes:
            self._zeros = [torch.zeros(shape, dtype=self.dtype, device=self.device) for shape in shapes]
        return self._zeros

    def close(self) -> None:
        super().close()
        self._zeros = []


class OnnxControlNet(OnnxNetwork):
    """Called like ControlNetModel whose hint network has been taken out, `return_dict=False` only."""

    def __call__(
        self,
        sample: Any,
        timestep: Any,
        encoder_hidden_states: Any,
        controlnet_cond: Any,
        conditioning_scale: float = 1.0,
        *,
        return_dict: bool = False,
    ) -> tuple[list[Any], Any]:
        """(residuals of the skip connections, residual of the middle), times `conditioning_scale`."""
        import torch

        if return_dict:
            raise ValueError("an engine answers with a tuple; return_dict=False expected")
        inputs = self._common(sample, timestep, encoder_hidden_states)
        inputs |= {"controlnet_cond": controlnet_cond, "conditioning_scale": torch.tensor([float(conditioning_scale)])}
        shapes = residual_shapes(self.config, len(sample), *sample.shape[2:])
        *down, middle = (part.to(sample.device, sample.dtype) for part in self._run(inputs, shapes))
        return down, middle
