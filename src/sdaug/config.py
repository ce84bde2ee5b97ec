"""What a person may set. Frozen; an unknown key is refused with the names that exist."""

import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_MODEL = "stable-diffusion-v1-5/stable-diffusion-v1-5"
DEFAULT_CONTROLNET = "CrucibleAI/ControlNetMediaPipeFace"
OPENPOSE_CONTROLNET = "lllyasviel/control_v11p_sd15_openpose"
RENAMED_MODELS = {"runwayml/stable-diffusion-v1-5": DEFAULT_MODEL}
"""Hub names that no longer exist and what they became."""

PINNED_REVISIONS = {
    DEFAULT_MODEL: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    DEFAULT_CONTROLNET: "f6ed75cc495674bea8bf7409ef3d0e5bfb7d8c90",
}
"""Hub revisions used where none is given, as recorded by public projects that loaded these models (the first by many,
the second by two); not looked up on the hub itself."""

Backend = Literal["diffusion", "warp"]
ControlKind = Literal["mediapipe_face", "openpose"]


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


class ModelSettings(Config):
    """How weights are read. `model_id`: a hub id, a folder in diffusers layout, or "random" (small and seeded).

    control_kind, controlnet_subfolder: what the ControlNet was trained on and where it lies in its repository; unset,
    they follow from `controlnet_id`: openpose's is known, any other is taken for one like CrucibleAI's.
    """

    model_id: str = DEFAULT_MODEL
    revision: str | None = None
    controlnet_id: str = DEFAULT_CONTROLNET
    controlnet_revision: str | None = None
    controlnet_subfolder: str | None = None
    control_kind: ControlKind | None = None
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
    """What is passed per call, under diffusers' names. `strength` 0..1: how far the warp is noised before denoising."""

    num_angles: int = Field(default=5, ge=1, le=10)
    num_inference_steps: int = Field(default=20, ge=1, le=1000)
    guidance_scale: float = Field(default=1.0, ge=0.0)
    controlnet_conditioning_scale: float = Field(default=0.65, ge=0.0)
    strength: float = Field(default=0.45, gt=0.0, le=1.0)
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


class RunSettings(Config):
    """One setting of the whole product: what a sweep's cell is, and what `generate` is asked for."""

    backend: Backend = "diffusion"
    pack: str = "embedded"
    model: ModelSettings = ModelSettings()
    levers: dict[str, dict[str, Any]] = {}
    generation: GenerationSettings = GenerationSettings()
    gate: GateSettings = GateSettings()
    min_source_face_px: float = Field(default=60.0, gt=0)
    strict: bool = False
