"""What servers say, read as replies (RFC 5321 §4.2): several lines, with or without enhanced codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from postrider.model.reply import Reply
from postrider.protocols.buffer import Buffer, LineTooLong

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")
# RFC 5321 §4.5.3.1.5 says 512; real servers say more.
_MAX_LINE = 4096
_MAX_LINES = 200


class NotSmtp(Exception):
    """What the server says is no reply, or far too much of one."""


@dataclass(frozen=True, slots=True)
class Said:
    """One reply, and its lines without their codes."""

    reply: Reply
    lines: tuple[str, ...]

    def capabilities(self) -> dict[str, str]:
        """As the reply to EHLO: keywords in capitals, with their parameters."""
        return dict(_keyword(line) for line in self.lines[1:])


class Replies:
    """Reads replies from a buffer."""

    __slots__ = ("_buffer", "_lines")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._lines: list[bytes] = []

    def read(self) -> Said | None:
        """The next reply, None when it is not complete. Raises NotSmtp."""
        while True:
            try:
                line = self._buffer.line(_MAX_LINE, bare_lf=True)
            except LineTooLong:
                raise NotSmtp from None
            if line is None:
                return None
            match = _LINE.fullmatch(line)
            if match is None or len(self._lines) >= _MAX_LINES:
                raise NotSmtp
            self._lines.append(line)
            if match[2] != b"-":
                lines, self._lines = self._lines, []
                return _said(int(match[1]), lines)

    def forget(self) -> None:
        """What was read of an unfinished reply counts no longer."""
        self._lines.clear()


def _said(code: int, lines: Iterable[bytes]) -> Said:
    """A missing enhanced code is made from the class (RFC 3463 §2)."""
    texts = tuple(line[4:].decode("utf-8", "replace").strip() for line in lines)
    match = _ENHANCED.match(texts[-1])
    if match is None or match[1][0] != str(code)[0]:
        return Said(Reply(code, f"{code // 100}.0.0" if code // 100 != 3 else "", "\n".join(texts)), texts)
    found = match[1]
    return Said(Reply(code, found, "\n".join(text.removeprefix(found).lstrip() for text in texts)), texts)


def _keyword(line: str) -> tuple[str, str]:
    # "AUTH=LOGIN" is what very old servers say.
    keyword, _, parameters = line.replace("=", " ", 1).partition(" ")
    return keyword.upper(), parameters.strip()
