"""What every training script here shares: steps that can be resumed exactly, averaged weights, a loss curve on disk."""

import csv
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

Loss = Callable[[int, torch.Generator], dict[str, torch.Tensor]]
"""(step, generator) -> parts of the loss by name, already weighted; their sum is brought down."""


class Training:
    """`networks` trained together for `steps` steps; stopped at any moment, the same call goes on where it was.

    What a step draws depends on seed and step only. average: the weights to be kept, an exponential average.
    """

    def __init__(self, networks: dict[str, Any], folder: Path, steps: int, learning_rate: float, decay: float = 0.999):
        self.networks, self.steps, self.rate, self.decay = networks, steps, learning_rate, decay
        self.checkpoint, self.curve = folder / "checkpoint.pt", folder / "loss.csv"
        parameters = [p for network in networks.values() for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self.average = {name: _copy(network) for name, network in networks.items()}
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._read()

    def run(
        self, loss_of: Callable[[int, torch.Generator], dict[str, torch.Tensor]], seed: int, every: int = 50
    ) -> None:
        """The steps that are left; every `every` of them noted in the curve and kept."""
        sums: dict[str, float] = {}
        since, last = time.perf_counter(), self.step
        while self.step < self.steps:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + self.step)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * _share(self.step, self.steps)
            self.optimizer.zero_grad(set_to_none=True)
            parts = loss_of(self.step, generator)
            torch.stack(list(parts.values())).sum().backward()
            for network in self.networks.values():
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            self.optimizer.step()
            self._average()
            self.step += 1
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if self.step % every == 0 or self.step == self.steps:
                now = time.perf_counter()
                self.seconds += now - since
                self._note({name: value / (self.step - last) for name, value in sums.items()})
                since, last, sums = now, self.step, {}
                self._write()

    def _average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, network in self.networks.items():
                for key, value in network.state_dict().items():
                    self.average[name][key].lerp_(value.float(), 1 - decay)

    def _note(self, parts: dict[str, float]) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1)} | {k: round(v, 6) for k, v in parts.items()}
        print(row, flush=True)
        new = not self.curve.exists()
        with open(self.curve, "a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _write(self) -> None:
        state = {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        draft = self.checkpoint.with_suffix(".part")
        torch.save(state, draft)
        os.replace(draft, self.checkpoint)

    def _read(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]


def reduced() -> Any:
    """Arithmetic in bfloat16, where the processor has it: elsewhere it takes seventy times as long as float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())


def trained(network: Any, folder: Path, name: str) -> Any:
    """`network` ready to be used: with the averaged weights of the training in `folder`, or those of a model folder."""
    packaged = folder / name / "diffusion_pytorch_model.safetensors"
    if packaged.exists():
        network.load_state_dict(load_file(packaged))
        factor = json.loads((packaged.parent / "config.json").read_text()).get("scaling_factor")
        if factor is not None:
            network.register_to_config(scaling_factor=factor)
    else:
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        network.load_state_dict(state["average"][name])
    return network.eval().requires_grad_(False)


def begun(network: Any, folder: Path | None, name: str) -> Any:
    """`network` to be trained on from what lies in `folder`, as `trained` finds it; None is from the start."""
    return network if folder is None else trained(network, folder, name).train().requires_grad_(True)


def _share(step: int, steps: int) -> float:
    """Of the learning rate: up over 100 steps, down to a fiftieth along half a cosine."""
    return min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))


def _copy(network: Any) -> dict[str, torch.Tensor]:
    return {key: value.detach().float().clone() for key, value in network.state_dict().items()}
