"""Where a section of BODY[...] lies in a message, and header fields picked out of a header (RFC 9051 §6.4.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postrider.model.mail import Content, Part
from postrider.protocols.imap.events import Section


@dataclass(frozen=True, slots=True)
class Span:
    """Octets [start, end) of the blob."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a section's octets are: the prefix in front of the blob or not, then a span of the blob."""

    prefix: bool
    span: Span
    #: Transfer encoding of a single part's content, for BINARY.
    encoding: bytes = b"7bit"
    #: Octets without it, -1 where that is unknown.
    decoded: int = -1


def locate(section: Section, content: Content, size: int) -> Place | None:
    """The place of a section in a message whose blob has `size` octets; None when there is no such part.

    For HEADER.FIELDS it is the place of the whole header.
    """
    root = content.root
    if not section.part:
        return Place(section.text != "TEXT", _of_message(root, section.text, size))
    part, inner = _find(root, section.part)
    if part is None:
        return None
    match section.text:
        case "":
            encoding = b"7bit" if part.parts or part.message else part.encoding
            return Place(False, Span(part.body, part.end), encoding, part.decoded)
        case "MIME":
            return Place(part is root, Span(part.header, part.body))
    # HEADER and TEXT of a part speak of the message inside it.
    if inner is None:
        return None
    return Place(False, _of_message(inner, section.text, inner.end))


def _of_message(root: Part, text: str, end: int) -> Span:
    match text:
        case "":
            return Span(root.header, end)
        case "TEXT":
            return Span(root.body, end)
    return Span(root.header, root.body)


def _find(root: Part, numbers: tuple[int, ...]) -> tuple[Part | None, Part | None]:
    """The part with this number, and the message inside it when it is one."""
    part: Part | None = None
    entity: Part | None = root
    top = True  # the entity is a message: it has a part 1 even when it is no multipart
    for number in numbers:
        if entity is None:
            return None, None
        if entity.type == b"multipart":
            part = entity.parts[number - 1] if number <= len(entity.parts) else None
        else:
            part = entity if top and number == 1 else None
        if part is None:
            return None, None
        top = part.message is not None
        entity = part.message or (part if part.type == b"multipart" else None)
    return part, part.message if part is not None else None


def select_fields(header: bytes, names: Sequence[bytes], *, exclude: bool) -> bytes:
    """The fields of a header block with these names, or all others, as they are, with the empty line at the end."""
    wanted = {name.lower() for name in names}
    kept: list[bytes] = []
    keeping = False
    for line in header.split(b"\n"):
        if line in (b"", b"\r"):
            break
        if line[:1] not in (b" ", b"\t"):
            keeping = (line.partition(b":")[0].rstrip().lower() in wanted) is not exclude
        if keeping:
            kept.append(line)
    kept.append(b"\r\n")
    return b"\n".join(kept)
