"""The bodies of successful answers, with an example each."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PERSON = "9b2e1f64c0a84d7f8e35d1a60c7b92fe"
REQUEST = "5f0c7a1e9b3d4c68"
BUNDLE = {"id": PERSON, "sha256": "0" * 64}


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(protected_namespaces=())


def example(**fields: Any) -> ConfigDict:
    """The configuration of an answer that looks like this."""
    return ConfigDict(json_schema_extra={"example": fields})


class Breakdown(Answer):
    """Embedded samples by what they are; they sum to `embeddings_created`."""

    original: int = Field(description="Photos.")
    traditional: int = Field(description="Variations of a photo, and views made without a generative model.")
    stable_diffusion: int = Field(description="Views that diffusion had a part in.")


class QualityScores(Answer):
    """`assess_quality` of the enrolled views, 0 to 1; 0.7 is where the first threshold is touched."""

    average: float
    min: float
    max: float


class Rejected(Answer):
    """A photo, variation or view that was not enrolled."""

    kind: Literal["photo", "traditional", "generated", "reviewed"]
    photo: int = Field(description="Which of the photos it is or comes from, from 0.")
    role: str = Field(description="What it was for, such as `source`, `darker` or `yaw+45_pitch+00`.")
    reasons: list[str]
    message: str | None = None


class Warned(Answer):
    """A photo that was enrolled although an image made of it would have been refused."""

    photo: int = Field(description="Which of the photos, from 0.")
    reasons: list[str] = Field(description="Such as `blurred` or `too_dark`.")


class Degraded(Answer):
    """Not everything was made as asked for."""

    reason: str = Field(description="The first of `reasons`.")
    reasons: list[str]
    by_rung: dict[str, int] = Field(description="How many views came from each rung of the ladder.")


class BundleRef(Answer):
    """The bundle that `GET /api/persons/{id}/bundle` returns."""

    id: str
    sha256: str


class Duplicate(Answer):
    """Somebody enrolled who looks like the same person."""

    person_id: str
    similarity: float


class EnrolAnswer(Answer):
    """The answer to an enrolment. The two SD fields are there only when SD was asked for."""

    model_config = example(
        success=True, message="Successfully enrolled Ayesha Khan", person_id=PERSON, embeddings_created=15,
        augmentation_breakdown={"original": 1, "traditional": 9, "stable_diffusion": 5}, sd_generation_time=9.41,
        quality_scores={"average": 0.87, "min": 0.74, "max": 0.93}, rejected=[], warnings=[], degraded=None,
        bundle=BUNDLE, duplicates=[], not_evaluated=[], request_id=REQUEST,
    )  # fmt: skip
    success: bool
    message: str
    person_id: str
    embeddings_created: int
    augmentation_breakdown: Breakdown
    sd_generation_time: float | None = Field(None, description="Seconds. Only when SD was asked for.")
    quality_scores: QualityScores | None = Field(
        None, description="Only when SD was asked for; null where no view was enrolled."
    )
    rejected: list[Rejected]
    warnings: list[Warned]
    degraded: Degraded | None
    bundle: BundleRef
    duplicates: list[Duplicate]
    not_evaluated: list[Literal["duplicates"]] = Field(
        [], description="What could not be found out: `duplicates` where nobody measured the recogniser's band."
    )
    request_id: str


class SdStatus(Answer):
    """Whether views can be generated."""

    model_config = example(
        available=False, model_name="stable-diffusion-v1-5/stable-diffusion-v1-5", reason="weights_missing",
        message="the weights are not on this machine; `sdaug models pull` fetches them", busy=0,
    )  # fmt: skip
    available: bool
    model_name: str
    reason: str | None = Field(description="Why not, in one word; `checking` while that is being found out.")
    message: str | None
    busy: int = Field(description="Generations that run or wait.")


SHOWN: dict[str, Any] = dict(
    person_id=PERSON, name="Ayesha Khan", national_id_last4="5671", created="2030-01-31T12:00:00Z",
    retention_until=None, embeddings_created=1,
    augmentation_breakdown={"original": 1, "traditional": 0, "stable_diffusion": 0},
    recogniser="dlib_resnet", bundle=BUNDLE,
)  # fmt: skip


class PersonAnswer(Answer):
    """An enrolled person. Never a vector, never the national id."""

    model_config = example(**SHOWN)
    person_id: str
    name: str
    national_id_last4: str
    created: str
    retention_until: str | None
    embeddings_created: int
    augmentation_breakdown: Breakdown
    recogniser: str
    bundle: BundleRef


class Sample(Answer):
    """One enrolled sample, without its pixels or vector."""

    row: int
    role: str
    origin: str
    rung: str | None
    measured: dict[str, float] | None
    similarity: dict[str, float]


class PersonDetail(PersonAnswer):
    """A person with the list of their samples."""

    model_config = example(
        **SHOWN,
        samples=[
            {
                "row": 0,
                "role": "source",
                "origin": "captured",
                "rung": None,
                "measured": {"yaw_deg": 2.1, "pitch_deg": -3.4, "roll_deg": 0.2},
                "similarity": {},
            }
        ],
    )
    samples: list[Sample]


class PersonList(Answer):
    """A page of people; `next` is the `after` of the following page, null on the last."""

    model_config = example(persons=[SHOWN], next=None, total=1)
    persons: list[PersonAnswer]
    next: str | None
    total: int


class Deleted(Answer):
    """What was deleted."""

    model_config = example(deleted=PERSON, request_id=REQUEST)
    deleted: str
    request_id: str


class JobRef(Answer):
    """A job that was queued."""

    model_config = example(job_id=PERSON)
    job_id: str


class Preview(Answer):
    """One view of a preview."""

    model_config = example(
        index=1, role="yaw+45_pitch+00", pose="left 45", accepted=True, reasons=[], rung="diffusion", quality=0.87,
        similarity={"dlib_resnet": 0.271}, image=f"/api/previews/{PERSON}/images/1",
    )  # fmt: skip
    index: int
    role: str
    pose: str = Field(description="Its name, such as `left 45`.")
    accepted: bool = Field(description="By the gate. Only such a view can be enrolled.")
    reasons: list[str]
    rung: str
    quality: float
    similarity: dict[str, float]
    image: str | None = Field(description="Where its picture is.")


class JobAnswer(Answer):
    """A preview job. The preview's id is the job's."""

    model_config = example(
        job_id=PERSON, state="running", text="Generating angle 3/5... (right 45)", angle=3, of=5, generation_s=None,
        degraded=None, warnings=[], previews=[], error=None,
    )  # fmt: skip
    job_id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    text: str
    angle: int | None
    of: int
    generation_s: float | None
    degraded: Degraded | None
    warnings: list[Warned]
    previews: list[Preview]
    error: dict[str, Any] | None


class ArmScore(Answer):
    """A comparison with some of a person's templates: the best score counts."""

    similarity: float
    match: bool = Field(description="Whether it is at least `threshold`.")
    templates: int


class CandidateAnswer(Answer):
    """A person the photo was compared with."""

    person_id: str
    name: str
    without_augmentation: ArmScore = Field(description="By the photos alone.")
    without_sd: ArmScore = Field(description="By the photos and what was made of them without diffusion.")
    with_augmentation: ArmScore = Field(description="By everything that is enrolled.")


class CompareAnswer(Answer):
    """A comparison. More templates raise the scores of strangers too: at one threshold the two arms do not have the
    same false match rate."""

    model_config = example(
        mode="1:N", recogniser="dlib_resnet", threshold=0.0, compared=1, not_comparable=0, request_id=REQUEST,
        candidates=[
            {
                "person_id": PERSON,
                "name": "Ayesha Khan",
                "without_augmentation": {"similarity": 0.412, "match": True, "templates": 1},
                "without_sd": {"similarity": 0.431, "match": True, "templates": 10},
                "with_augmentation": {"similarity": 0.455, "match": True, "templates": 15},
            }
        ],
    )  # fmt: skip
    mode: Literal["1:1", "1:N"]
    recogniser: str
    threshold: float
    compared: int
    not_comparable: int = Field(description="People enrolled with another recogniser.")
    candidates: list[CandidateAnswer]
    request_id: str


class SessionAnswer(Answer):
    """A session of the admin page."""

    model_config = example(signed_in=True)
    signed_in: bool


class SessionRequest(Answer):
    """What the page signs in with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"key": "sdaug_0123456789ab_..."}})
    key: str = Field(max_length=256)
