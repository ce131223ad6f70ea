"""From octets to commands: lines, literals inside commands, bodies of messages, and skipping what was refused."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from postrider.protocols.buffer import BareLineFeed, Buffer, LineTooLong

#: Body octets handed out at once.
CHUNK = 64 * 1024
#: A line behind a refused literal.
MAX_SKIPPED_LINE = 64 * 1024

_LITERAL_AT_END = re.compile(rb"~?\{([0-9]{1,19})(\+?)\}\Z")


class Unreadable(Exception):
    """Where the next command begins cannot be told any more; the text says why, to the client."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A command, so far, ends with the announcement of a literal. `sync`: the client waits for our go."""

    command: bytes
    #: Where the announcement begins in `command`.
    at: int
    size: int
    sync: bool


class Mode(enum.Enum):
    """What the next octets are."""

    LINE = "line"
    LITERAL = "literal"
    BODY = "body"
    SKIP_LITERAL = "skip literal"
    SKIP_LINE = "skip line"


class Input:
    """Understands framing only. Each `Announced` is followed by `collect`, `stream` or `refuse`."""

    def __init__(self) -> None:
        self._buffer = Buffer()
        self._mode = Mode.LINE
        self._command = b""
        self._rest = 0

    @property
    def ended(self) -> bool:
        """The stream has ended; what is complete can still be taken."""
        return self._buffer.eof

    def feed(self, data: bytes) -> None:
        """Octets from the peer; b"" is the end of the stream."""
        self._buffer.feed(data)

    def discard(self) -> None:
        """Forget everything received (before a TLS handshake)."""
        self._buffer.discard()
        self._command = b""

    def line(self, limit: int) -> bytes | None:
        """One line without its CRLF. Raises Unreadable."""
        try:
            return self._buffer.line(max(limit, 0))
        except LineTooLong as error:
            raise Unreadable("Command line is too long") from error
        except BareLineFeed as error:
            # RFC 9051 §2.2: CRLF ends a line. What follows cannot be trusted to begin a command.
            raise Unreadable("A line ended without CR") from error

    def command(self, limit: int) -> bytes | Announced | None:
        """A whole command, or one up to a literal's announcement; None when more has to come. Raises Unreadable."""
        if not self._skipped() or not self._collected():
            return None
        line = self.line(limit - len(self._command))
        if line is None:
            return None
        before, self._command = self._command, b""
        literal = _LITERAL_AT_END.search(line)
        if literal is None:
            return before + line
        return Announced(before + line, len(before) + literal.start(), int(literal[1]), sync=not literal[2])

    def collect(self, literal: Announced) -> None:
        """The literal becomes part of the command."""
        self._command = literal.command + b"\r\n"
        self._rest = literal.size
        self._mode = Mode.LITERAL

    def stream(self, literal: Announced) -> None:
        """The literal's octets are wanted as they come: body()."""
        self._rest = literal.size
        self._mode = Mode.BODY

    def refuse(self, literal: Announced) -> None:
        """The command is over. Octets that come all the same are skipped (RFC 7888 §4), with the rest of it."""
        self._mode = Mode.LINE
        if not literal.sync:
            self._rest = literal.size
            self._mode = Mode.SKIP_LITERAL

    def body(self) -> bytes | None:
        """The next octets of a body, b"" at its end, None when more has to come."""
        if not self._rest:
            self._mode = Mode.LINE
            return b""
        data = self._buffer.take(min(self._rest, CHUNK))
        self._rest -= len(data)
        return data or None

    def _collected(self) -> bool:
        if self._mode is Mode.LITERAL:
            data = self._buffer.take(self._rest)
            self._command += data
            self._rest -= len(data)
            if self._rest:
                return False
            self._mode = Mode.LINE
        return True

    def _skipped(self) -> bool:
        while self._mode in (Mode.SKIP_LITERAL, Mode.SKIP_LINE):
            if self._mode is Mode.SKIP_LITERAL:
                self._rest -= len(self._buffer.take(self._rest))
                if self._rest:
                    return False
                self._mode = Mode.SKIP_LINE
            line = self.line(MAX_SKIPPED_LINE)
            if line is None:
                return False
            literal = _LITERAL_AT_END.search(line)
            self._mode = Mode.LINE
            if literal and literal[2]:
                self._rest = int(literal[1])
                self._mode = Mode.SKIP_LITERAL
        return True
