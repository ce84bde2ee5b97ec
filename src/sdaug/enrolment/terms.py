"""What a bundle is made for, how long it is kept, and in which form it lies."""

from dataclasses import dataclass, field
from typing import Any

from sdaug.enrolment.layout import canonical_json
from sdaug.enrolment.manifest import Person, parse


@dataclass(frozen=True)
class Terms:
    """Why a person's data is kept, for how long, and how it lies there.

    consent: `purpose`, `legal_basis` and, where known, `reference`, `time`, `controller`. retention_until: ISO 8601 day
    or time. label: a name for people to read; by default there is none. evaluation: a report of
    `sdaug evaluate gain --json`, whose gist is kept. include_images: whether the pixels are kept. sign_with: an Ed25519
    private key, 32 bytes. key: 32 bytes; the bundle is then one encrypted file.
    """

    consent: dict[str, Any] | None = None
    retention_until: str | None = None
    label: str | None = None
    evaluation: bytes | None = None
    include_images: bool = True
    sign_with: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


NO_TERMS = Terms()


def check_person(subject: str, created: str, terms: Terms) -> None:
    """ValueError naming every field of these that a bundle would refuse: to be asked before anything slow."""
    parse(Person, canonical_json(person_facts(subject, created, terms)))


def person_facts(subject: str, created: str, terms: Terms) -> dict[str, Any]:
    """What a manifest says of the person, JSON-able."""
    return {
        "subject": subject,
        "label": terms.label,
        "created": created,
        "consent": terms.consent,
        "retention_until": terms.retention_until,
    }
