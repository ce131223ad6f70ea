"""What formats hand over and take: folders by their names here, messages with flags and dates. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from postrider.protocols.imap.flags import MAX_KEYWORD, MAX_KEYWORDS

#: One read from a file; nothing of a message but its header is ever held whole.
PIECE = 1024 * 1024

# RFC 9051 §9 flag-keyword is an atom: no controls, spaces, parentheses, quotes, wildcards, backslashes, brackets.
_NO_ATOM = re.compile(r"[^!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]")


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of a source."""

    #: What it is called in its folder, the same in every run; its content comes on top to tell it from others.
    name: bytes
    #: Its octets as they lie there, line ends and all. To be read before the next letter is asked for.
    pieces: Iterator[bytes]
    flags: int = 0
    keywords: tuple[str, ...] = ()
    #: INTERNALDATE, seconds since the epoch; None where the source knows none.
    received: int | None = None


class LineEnds:
    """Makes every line end CRLF; CRs that end no line stay."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The next octets, as IMAP has them."""
        piece = self._held + piece
        self._held = b""
        if piece.endswith(b"\r"):
            self._held, piece = b"\r", piece[:-1]
        if b"\n" not in piece:
            return piece
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n")
        return piece.replace(b"\n", b"\r\n")

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held


class UnixLineEnds:
    """Makes every CRLF a LF, as files on Unix have it."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """The next octets."""
        whole = self._held + piece
        self._held = b"\r" if whole.endswith(b"\r") else b""
        return (whole[:-1] if self._held else whole).replace(b"\r\n", b"\n")

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held


def sound_keywords(words: Iterable[str]) -> tuple[str, ...]:
    """Keywords as IMAP can tell them: other characters become "_", too many and too long ones are left out."""
    sound = dict.fromkeys(_NO_ATOM.sub("_", word) for word in words if word)
    return tuple(word for word in sound if len(word) <= MAX_KEYWORD)[:MAX_KEYWORDS]
