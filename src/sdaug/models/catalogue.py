"""Every model the product can use: what for, where from, under which condition."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sdaug.config import (
    DEFAULT_CONTROLNET,
    DEFAULT_MODEL,
    NANO,
    OPENPOSE_CONTROLNET,
    PINNED_REVISIONS,
    FaceIdSettings,
)
from sdaug.diffusion.components import WeightsError
from sdaug.diffusion.hub import find_folder
from sdaug.diffusion.layout import stand_ins
from sdaug.diffusion.lora import FEW_STEP
from sdaug.diffusion.reading import TAESD
from sdaug.diffusion.safety import FILES as SAFETY_FILES
from sdaug.diffusion.weights import MODEL_FILES, UNET_SUBFOLDER
from sdaug.packs import INSIGHTFACE_PACKS

NOT_LOOKED_UP = "not-looked-up"
"""The licence of a model whose condition nobody here has seen."""

PACKS_FOLDER = Path("~/.insightface/models")


@dataclass(frozen=True)
class Model:
    """One entry. kind: "package" comes with this one. source: a hub id, or a pack's or the model's own name. files:
    what is wanted of it, by path or glob.

    licence: an identifier that `--accept-licence` has to repeat. conditions: what the licence means, and how it is
    known; see docs/licences.md. pickled: the file is a pickle, there is no other.
    """

    name: str
    kind: Literal["hub", "insightface", "package"]
    source: str
    purpose: str
    licence: str
    conditions: str
    files: tuple[str, ...] = ()
    pickled: bool = False

    @property
    def revision(self) -> str | None:
        """The pinned revision, None where nobody has looked one up: the hub's main branch."""
        return PINNED_REVISIONS.get(self.source)


_OPENRAIL_M = "use restrictions that you must pass on, as its publisher states; not re-read here"
_RESEARCH = "non-commercial research only"
_UNKNOWN = "read the model card before you accept"
_NETWORK = ("config.json", "diffusion_pytorch_model.safetensors")
_FACE_ID = FaceIdSettings()

CATALOGUE = (
    Model(NANO, "package", NANO, "a small model of the same kind, for CPUs, tests and the demo: fills holes, no artist",
          "apache-2.0", "trained by experiments/nano on photographs under CC BY 4.0, see its model card",
          (*MODEL_FILES, "controlnet/*", "tiny_vae/*", "SHA256SUMS", "README.md")),
    Model("sd15", "hub", DEFAULT_MODEL, "Stable Diffusion 1.5: fills what the photo does not show",
          "creativeml-openrail-m", _OPENRAIL_M, tuple(MODEL_FILES)),
    Model("sd15-safety-checker", "hub", DEFAULT_MODEL, "its safety checker, for `safety_checker: on`",
          "creativeml-openrail-m", _OPENRAIL_M, tuple(SAFETY_FILES)),
    Model("controlnet-mediapipe-face", "hub", DEFAULT_CONTROLNET, "holds the face to the turned landmarks",
          "openrail", _OPENRAIL_M, tuple(f"diffusion_sd15/{file}" for file in _NETWORK)),
    Model("controlnet-openpose", "hub", OPENPOSE_CONTROLNET, "the same with OpenPose's face points",
          NOT_LOOKED_UP, _UNKNOWN, _NETWORK),
    Model("taesd", "hub", TAESD, "tiny VAE: decodes with 1/18 of the arithmetic, loses fine detail",
          "mit", "as its publisher states; not re-read here", _NETWORK),
    Model("ip-adapter-faceid", "hub", _FACE_ID.adapter_id, "a face embedding beside the prompt",
          "non-commercial-research", f"{_RESEARCH}: derived from insightface's recogniser, as its publisher states",
          (_FACE_ID.weight_name,), pickled=True),
    Model("lcm-lora", "hub", FEW_STEP["lcm"].lora_id, "2 to 8 steps without guidance",
          "openrail++", _OPENRAIL_M, (FEW_STEP["lcm"].weight_name,)),
    Model("hyper-sd", "hub", FEW_STEP["hyper_sd_4_steps"].lora_id, "4 steps, or 8 with guidance",
          NOT_LOOKED_UP, _UNKNOWN,
          (FEW_STEP["hyper_sd_4_steps"].weight_name, FEW_STEP["hyper_sd_8_steps_cfg"].weight_name)),
    Model("arc2face", "hub", "FoivosPar/Arc2Face", "a UNet conditioned on face embeddings, for `unet_id`",
          "mit", "as a copy of its model card states; fine-tuned from Stable Diffusion 1.5, whose terms the card does "
          "not repeat", tuple(f"{UNET_SUBFOLDER}/{file}" for file in _NETWORK)),
    *(
        Model(pack, "insightface", pack, "face detector and recogniser, for `--pack`", "non-commercial-research",
              f"{_RESEARCH}, by insightface's README; other uses are licensed by its authors", ("*.onnx",))
        for pack in INSIGHTFACE_PACKS
    ),
)  # fmt: skip


def find(name: str) -> Model:
    """The entry called `name`. Raises `ValueError` with the nearest right one."""
    from sdaug.config import nearest

    known = {model.name: model for model in CATALOGUE}
    if name not in known:
        raise ValueError(f"unknown model {name!r}; {nearest(name, list(known))}")
    return known[name]


def folder_here(model: Model) -> Path | None:
    """Where `model` is on this machine, None if it is not, or not whole. Nobody is asked."""
    if model.kind == "insightface":
        folder = PACKS_FOLDER.expanduser() / model.source
        return folder if any(folder.glob("*.onnx")) else None
    try:
        return find_folder(model.source, model.revision, list(model.files), allow_pickle=True)
    except WeightsError:
        return None


def files_here(model: Model, folder: Path) -> list[Path]:
    """The files of `model` in its `folder`, and what stands in for them."""
    patterns = [pattern for file in model.files for pattern in stand_ins(file, allow_pickle=True)]
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
