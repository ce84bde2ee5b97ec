"""What a person may be called, what a national id looks like, what a line of text is. Refused rather than repaired."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

MAX_NAME = 100
NATIONAL_ID = r"^[0-9A-Za-z][0-9A-Za-z -]{4,38}[0-9A-Za-z]$"
PUNCTUATION = frozenset("'’ʼ.-‐,·")
BETWEEN = frozenset(" '’.,:-_/()&+#§№")
"""Beside letters, marks and numbers, what a line of text may hold."""

JOINERS = frozenset("\u200c\u200d")
"""Invisible, and part of how Persian, Urdu and the scripts of India are written; only between letters."""


def person_name(value: str) -> str:
    """A name of any script, composed (NFC). Raises ValueError without repeating it.

    >>> person_name("José  O'Brien-Núñez, Jr.")
    "José O'Brien-Núñez, Jr."
    >>> person_name("Robert'); DROP TABLE persons;--")
    Traceback (most recent call last):
    ValueError: has characters that no name has (U+0029, U+003B); letters, marks, spaces and ' . - , are taken
    """
    if len(value) > MAX_NAME:
        raise ValueError(f"has {len(value)} characters, at most {MAX_NAME} are taken")
    name = " ".join(unicodedata.normalize("NFC", value).split(" ")).strip()
    name = re.sub(" +", " ", name)
    wrong = sorted({c for at, c in enumerate(name) if not _allowed(name, at)})
    if wrong:
        points = ", ".join(f"U+{ord(c):04X}" for c in wrong[:3])
        raise ValueError(f"has characters that no name has ({points}); letters, marks, spaces and ' . - , are taken")
    if not any(c.isalpha() for c in name):
        raise ValueError("has no letter")
    return name


def _allowed(name: str, at: int) -> bool:
    character = name[at]
    if character in JOINERS:
        return 0 < at < len(name) - 1 and unicodedata.category(name[at - 1])[0] in "LM"
    return character == " " or character in PUNCTUATION or unicodedata.category(character)[0] in "LM"


def national_id(value: str) -> str:
    """The id's digits and letters, so that 35202-1234567-1 and 3520212345671 are one. Raises ValueError.

    >>> national_id("35202-1234567-1")
    '3520212345671'
    """
    if not re.fullmatch(r"[0-9A-Za-z](?:[0-9A-Za-z -]{0,38}[0-9A-Za-z])?", value):
        raise ValueError("takes ASCII letters, digits, and hyphens or spaces between them, at most 40 characters")
    plain = re.sub("[ -]", "", value).upper()
    if not 6 <= len(plain) <= 32:
        raise ValueError(f"has {len(plain)} letters and digits, expected 6 to 32")
    return plain


def plain_text(value: str) -> str:
    """A line of words, numbers and the signs between them. Raises ValueError without repeating it.

    >>> plain_text("access to building A (file 30/117)")
    'access to building A (file 30/117)'
    >>> plain_text("<b>access</b>")
    Traceback (most recent call last):
    ValueError: takes letters, digits, spaces within and ' . , : - _ / ( ) & + # only
    """
    if value != value.strip() or not all(c in BETWEEN or unicodedata.category(c)[0] in "LMN" for c in value):
        raise ValueError("takes letters, digits, spaces within and ' . , : - _ / ( ) & + # only")
    return value


PersonName = Annotated[str, AfterValidator(person_name)]
NationalId = Annotated[str, AfterValidator(national_id)]
