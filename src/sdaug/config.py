"""What a person may set. Frozen; an unknown key is refused with the names that exist."""

import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

DEFAULT_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
DEFAULT_CONTROLNET = "CrucibleAI/ControlNetMediaPipeFace"
OPENPOSE_CONTROLNET = "lllyasviel/control_v11p_sd15_openpose"
RANDOM_MODELS = ("random", "random-sd15")
"""Names of models that nobody trained: a small one and one of SD1.5's size."""

RENAMED_MODELS = {"runwayml/stable-diffusion-v1-5": DEFAULT_MODEL}
"""Hub names that no longer exist and what they became."""

PINNED_REVISIONS = {
    DEFAULT_MODEL: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    DEFAULT_CONTROLNET: "f6ed75cc495674bea8bf7409ef3d0e5bfb7d8c90",
    "ByteDance/Hyper-SD": "bc08d970a87c74c71209491d64e3525845698863",
}
"""Hub revisions used where none is given, as recorded by public projects that loaded these models (the first and the
last by many, the second by two); not looked up on the hub itself."""

NANO = "sdaug-nano"
"""The small trained model that comes with this package."""

Backend = Literal["diffusion", "warp", "none"]
ControlKind = Literal["mediapipe_face", "openpose"]
SchedulerName = Literal["ddim", "ddim_trailing", "euler", "dpmsolver++", "lcm", "tcd"]


def default_precision(device: str, half: bool = True) -> dict[str, str]:
    """The options of the lever `precision` where nobody names them. device: a torch device's; half: 16 bits on a GPU.

    >>> default_precision("cuda:0"), default_precision("cpu")
    ({'dtype': 'float16'}, {'dtype': 'float32'})
    """
    return {"dtype": "float16" if half and device.startswith("cuda") else "float32"}


def nearest(word: str, known: list[str]) -> str:
    """`unknown 'stepps'; did you mean 'steps'? there are: ...`, the tail of an error about a name.

    >>> nearest("stepps", ["steps", "seed"])
    "did you mean 'steps'? there are: seed, steps"
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}there are: {', '.join(sorted(known))}"


class Config(BaseModel):
    """Base of every configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class FaceIdSettings(Config):
    """IP-Adapter-FaceID: a face embedding steers the UNet beside the prompt.

    adapter_id: a hub id, a folder that holds `weight_name`, or the file itself. allow_pickle: whether a file that is no
    safetensors may be read (tensors only, no code is run); the published one is a pickle. recogniser: whose face
    embedding it was trained with, by the name that records give it. scale: of the attention to the face; lora_scale: of
    the LoRA part that comes in the same file.
    """

    adapter_id: str = "h94/IP-Adapter-FaceID"
    weight_name: str = "ip-adapter-faceid_sd15.bin"
    revision: str | None = None
    allow_pickle: bool = False
    recogniser: str = "arcface"
    scale: float = Field(default=0.6, ge=0.0, le=2.0)
    lora_scale: float = Field(default=0.7, ge=0.0, le=2.0)


LoraKind = Literal["lcm", "hyper_sd_4_steps", "hyper_sd_8_steps_cfg"]


class LoraSettings(Config):
    """A few-step LoRA. kind: how it was distilled, which fixes its scheduler and whether guidance may be on.

    lora_id: a hub id, a folder that holds `weight_name`, or the file itself. Unset, both are the kind's own on the hub.
    """

    kind: LoraKind
    lora_id: str | None = None
    weight_name: str | None = None
    revision: str | None = None
    scale: float = Field(default=1.0, ge=0.0, le=2.0)


class ModelSettings(Config):
    """How weights are read. `model_id`: a hub id, a folder in diffusers layout, or "random" (small and seeded).

    control_kind, controlnet_subfolder: what the ControlNet was trained on and where it lies in its repository; unset,
    they follow from `controlnet_id`: openpose's is known, any other is taken for one like CrucibleAI's.
    unet_id: a hub id or folder whose UNet stands in for the model's own, Arc2Face's for one; it lies in
    `unet_subfolder`, which unset is "arc2face". allow_pickle: whether a network that is there only as a pickle may be
    read (tensors only, no code is run). safety_checker: "on" reads the model's own, where it has one.
    """

    model_id: str = DEFAULT_MODEL
    revision: str | None = None
    controlnet_id: str = DEFAULT_CONTROLNET
    controlnet_revision: str | None = None
    controlnet_subfolder: str | None = None
    control_kind: ControlKind | None = None
    unet_id: str | None = None
    unet_revision: str | None = None
    unet_subfolder: str | None = None
    allow_pickle: bool = False
    safety_checker: Literal["off", "on"] = "off"
    face_id: FaceIdSettings | None = None
    lora: LoraSettings | None = None
    device: str = "cuda"

    @field_validator("model_id")
    @classmethod
    def _renamed(cls, value: str) -> str:
        return RENAMED_MODELS.get(value, value)

    @property
    def pinned_revision(self) -> str | None:
        """The revision to load: the one given, else the pinned one of a known model, else None (the hub's main branch).

        >>> ModelSettings(model_id="runwayml/stable-diffusion-v1-5").pinned_revision[:7]
        '451f4fe'
        >>> ModelSettings(model_id="random").pinned_revision is None
        True
        """
        return self.revision or PINNED_REVISIONS.get(self.model_id)

    @property
    def drawn_control(self) -> ControlKind:
        """The control image to draw.

        >>> ModelSettings(controlnet_id="lllyasviel/control_v11p_sd15_openpose").drawn_control
        'openpose'
        """
        return self.control_kind or ("openpose" if self.controlnet_id == OPENPOSE_CONTROLNET else "mediapipe_face")

    @property
    def weights_subfolder(self) -> str | None:
        """The ControlNet's folder inside its repository, None for the top."""
        return self.controlnet_subfolder or (None if self.controlnet_id == OPENPOSE_CONTROLNET else "diffusion_sd15")

    @property
    def pinned_controlnet_revision(self) -> str | None:
        """The same for the ControlNet."""
        return self.controlnet_revision or PINNED_REVISIONS.get(self.controlnet_id)


class GenerationSettings(Config):
    """What is passed per call, under diffusers' names where diffusers has one.

    num_inference_steps: of the whole noise schedule; a strength s runs the last int(num_inference_steps * s) of them.
    scheduler: None is the model's own. strength: 0..1, how far what the photo shows is noised; hole_strength: the same
    where it shows nothing. guidance_start, guidance_end, control_guidance_start, control_guidance_end: 0..1, the part
    of the steps run with guidance (where guidance_scale is above 1) and with ControlNet. controlnet_interval:
    ControlNet runs at every n-th of those, its features are reused between. size: pixels a side of diffusion's picture.
    batch_size: angles denoised together; None is as many as there are.
    """

    num_angles: int = Field(default=5, ge=1, le=10)
    num_inference_steps: int = Field(default=20, ge=1, le=1000)
    scheduler: SchedulerName | None = None
    guidance_scale: float = Field(default=1.0, ge=0.0)
    guidance_start: float = Field(default=0.0, ge=0.0, le=1.0)
    guidance_end: float = Field(default=1.0, ge=0.0, le=1.0)
    controlnet_conditioning_scale: float = Field(default=0.65, ge=0.0)
    control_guidance_start: float = Field(default=0.0, ge=0.0, le=1.0)
    control_guidance_end: float = Field(default=1.0, ge=0.0, le=1.0)
    controlnet_interval: int = Field(default=1, ge=1)
    strength: float = Field(default=0.3, gt=0.0, le=1.0)
    hole_strength: float = Field(default=0.9, gt=0.0, le=1.0)
    size: int = Field(default=512, ge=64, le=1024, multiple_of=64)
    batch_size: int | None = Field(default=None, ge=1, le=10)
    seed: int = Field(default=0, ge=0)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any) -> Any:
        """YAML reads `yes` as true, and Python true as 1."""
        if isinstance(value, bool):
            raise ValueError("expected a number, not yes or no")
        return value


class GateSettings(Config):
    """When an image is kept.

    rule: "sdaug" (all of what follows), or "mission": confidence > 0.7, blur < 0.3, brightness 50 to 200, at least
    512 px, similarity to the input > 0.8; what either would say is on every record. measures: quality measures that
    refuse, by file name, each with its options; reported: those that are only recorded.
    max_pose_error_deg: largest difference of measured and requested yaw or pitch. min_similarity: to the source, for
    the pack's own recogniser, whatever its band says; the held-out one only reports. A recogniser without an entry, or
    without a band, is recorded as `not_evaluated`. dlib's entry is its library's own threshold (distance 0.6),
    ArcFace's the one at FMR 1e-3 on LFW (Boutros et al. 2022, Self-restrained triplet loss, table 3).
    """

    rule: Literal["sdaug", "mission"] = "sdaug"
    measures: dict[str, dict[str, Any]] = {
        "confidence": {},
        "blur": {},
        "resolution": {},
        "single_face_present": {},
        "inter_eye_distance": {},
        "luminance_mean": {},
        "under_exposure_prevention": {},
        "over_exposure_prevention": {},
        "dynamic_range": {},
    }
    reported: dict[str, dict[str, Any]] = {"brightness": {}, "illumination_uniformity": {}, "natural_colour": {}}
    max_pose_error_deg: float = Field(default=10.0, gt=0)
    min_similarity: dict[str, float] = {"dlib_resnet": 0.0, "arcface": 0.26}


_PACKS_OF = {"arcface": "an insightface pack, for example buffalo_l", "dlib_resnet": "the pack 'embedded'"}


class RunSettings(Config):
    """One setting of the whole product: what a sweep's cell is, and what `generate` is asked for.

    backend: what makes the views; "none" makes none, and a bundle holds the photo alone.
    budget_gb: GB of 10^9 bytes that diffusion's tensors may take together, as counted before loading; what does not fit
    is given up in the order of the resource ladder. None is no budget. strict: no rung but the one that is asked for.
    """

    backend: Backend = "diffusion"
    pack: str = "embedded"
    model: ModelSettings = ModelSettings()
    levers: dict[str, dict[str, Any]] = {}
    generation: GenerationSettings = GenerationSettings()
    gate: GateSettings = GateSettings()
    min_source_face_px: float = Field(default=60.0, gt=0)
    budget_gb: float | None = Field(default=None, gt=0, allow_inf_nan=False, strict=True)
    strict: bool = False

    @model_validator(mode="after")
    def _a_face_adapter_wants_its_own_recogniser(self) -> "RunSettings":
        if self.model.face_id is None or self.backend != "diffusion":
            return self
        wanted, has = self.model.face_id.recogniser, "dlib_resnet" if self.pack == "embedded" else "arcface"
        if wanted != has:
            raise ValueError(
                f"the face adapter (model.face_id) is steered by a vector of {wanted!r}, and the recogniser of the "
                f"pack {self.pack!r} is {has!r}; choose {_PACKS_OF.get(wanted, 'another adapter')}"
            )
        return self
