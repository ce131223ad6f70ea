"""The public message collections, and what holds for whatever the scanner says about any message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from postrider.mime.cached import from_cache, to_cache
from postrider.mime.encoding import SLICE, decode_transfer
from postrider.mime.parse import MAX_CACHED_HEADER, MAX_PARTS
from postrider.model.mail import Content, Part

ROOT = Path(__file__).resolve().parents[2]


def suites() -> Path:
    """The folder of public test vectors."""
    return Path(os.environ.get("POSTRIDER_SUITES", ROOT.parent / "shared" / "suites"))


def mime4j() -> list[Path]:
    """The messages that come with the structure others see in them; none where the suites are missing."""
    return sorted((suites() / "mime-mime4j").rglob("*.msg"))


def collected() -> list[Path]:
    """Every message of every collection."""
    return mime4j() + sorted((suites() / "mime-mikel-mail").rglob("*.eml"))


def everything(part: Part) -> Iterator[Part]:
    """A part and all parts and messages inside."""
    yield part
    for child in part.parts:
        yield from everything(child)
    if part.message:
        yield from everything(part.message)


def numbered(
    part: Part, number: tuple[int, ...] = (), *, message: bool = True
) -> Iterator[tuple[tuple[int, ...], Part]]:
    """Parts with their IMAP part numbers (RFC 9051 §6.4.5.1); `part` is a message, or has the number itself."""
    if message and not part.parts:
        number = (*number, 1)  # a message that is no multipart has one part
        yield number, part
    for position, child in enumerate(part.parts, 1):
        yield (*number, position), child
        yield from numbered(child, (*number, position), message=False)
    if part.message is not None:
        yield from numbered(part.message, number)


def check(data: bytes, content: Content) -> None:
    """Assert what holds for every message: offsets are nested and in order, sizes are those of the content."""
    parts = list(everything(content.root))
    assert len(parts) <= 2 * MAX_PARTS + 2  # what is not looked into shows as one part more
    for part in parts:
        _check_part(data, part)
    assert content.root.end == len(data)
    assert content.header in (b"", data[: content.root.body])
    assert bool(content.header) == (0 < content.root.body <= MAX_CACHED_HEADER)
    assert len(content.preview) <= 200
    content.preview.encode()  # no half surrogates
    assert from_cache(to_cache(content)) == content


def _check_part(data: bytes, part: Part) -> None:
    assert 0 <= part.header <= part.body <= part.end <= len(data)
    if part.decoded >= 0:
        assert part.decoded == len(decode_transfer(data[part.body : part.end], part.encoding))
    else:
        assert part.parts or part.message or part.end - part.body > SLICE
    if part.parts:
        assert part.type == b"multipart"
        assert all(part.body <= child.header and child.end <= part.end for child in part.parts)
        ends = [child.end for child in part.parts]
        assert all(end <= child.header for end, child in zip(ends, part.parts[1:], strict=False))
    else:
        assert part.type != b"multipart"
    if part.message:
        assert part.envelope is not None
        assert (part.message.header, part.message.end) == (part.body, part.end)
    if part.type == b"text" and part.body < part.end:
        piece = data[part.body : part.end]
        assert part.lines == piece.count(b"\n") + (not piece.endswith(b"\n"))
