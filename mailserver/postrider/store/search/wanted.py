"""What a search wants of a message's text, and the text of one message as the index takes it. Values only."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from postrider.mime.text import fold, header_texts

#: Raised when text is taken or folded differently: an index made before is made anew.
TEXT = 3
#: Characters of one part of a message that are indexed; a message with more is looked into by every search.
MAX_INDEXED = 256 * 1024


class Part(enum.StrEnum):
    """A part of a message's text; each has a table of its own in the index."""

    SENDER = "sender"
    RECIPIENTS = "recipients"
    SUBJECT = "subject"
    OTHER = "other"
    BODY = "body"


#: Where the header fields are.
HEADER = (Part.SENDER, Part.RECIPIENTS, Part.SUBJECT, Part.OTHER)
_FIELDS = {
    "from": Part.SENDER,
    "to": Part.RECIPIENTS,
    "cc": Part.RECIPIENTS,
    "bcc": Part.RECIPIENTS,
    "subject": Part.SUBJECT,
}


def part_of(field: str) -> Part:
    """Where a header field is indexed; its name in lower case."""
    return _FIELDS.get(field, Part.OTHER)


@dataclass(frozen=True, slots=True)
class Has:
    """One of these parts contains the text, which is folded; with `field`, a header field of this name does.

    The text may be empty only where a field is named: any such field will do.
    """

    parts: tuple[Part, ...]
    text: str
    field: str = ""

    @property
    def term(self) -> str:
        """What must be in the part in any case."""
        return self.text or f"{self.field}: "


@dataclass(frozen=True, slots=True)
class Both:
    """All of these."""

    of: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    of: tuple[Wanted, ...]


Wanted = Has | Both | Either


def holds(wanted: Wanted, texts: Mapping[str, str]) -> bool:
    """Whether a message with these texts is what is wanted."""
    match wanted:
        case Both(of):
            return all(holds(each, texts) for each in of)
        case Either(of):
            return any(holds(each, texts) for each in of)
        case Has(parts, text, ""):
            return any(text in texts.get(part, "") for part in parts)
    label = f"{wanted.field}: "
    return any(
        line.startswith(label) and wanted.text in line[len(label) :]
        for part in wanted.parts
        for line in texts.get(part, "").split("\n")
    )


@dataclass(frozen=True, slots=True)
class Document:
    """One message for the index. `texts` are folded; a line break parts what no search may take for one text."""

    uid: int
    texts: dict[Part, str]
    #: False: there is more than was taken, so that it may be what any search wants.
    whole: bool = True


def document(uid: int, header: bytes, texts: Sequence[str]) -> Document:
    """The message of this UID: its whole header block, and the texts of its body."""
    lines: dict[Part, list[str]] = {part: [] for part in Part}
    for name, value in header_texts(header):
        lines[part_of(name)].append(f"{name}: {fold(value)}")
    lines[Part.BODY] = [fold(text) for text in _limited(texts)]
    # Folding may make a text longer: what is cut is what was folded.
    whole = sum(map(len, texts)) <= MAX_INDEXED and all(sum(map(len, lines[part])) <= MAX_INDEXED for part in Part)
    taken = {part: _sound("\n".join(_limited(lines[part]))) for part in Part if lines[part]}
    return Document(uid, taken, whole)


def _limited(texts: Iterable[str]) -> Iterator[str]:
    left = MAX_INDEXED
    for text in texts:
        if left <= 0:
            break
        yield text[:left]
        left -= len(text)


def _sound(text: str) -> str:
    """Text that can be written as UTF-8; half a surrogate pair is no text that one can look for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
