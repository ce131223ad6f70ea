"""Command lines taken off the wire: clean ones only; what is wrong with the others is said as a refusal."""

from __future__ import annotations

import re

from postrider.model.reply import Refused
from postrider.protocols.buffer import BareLineFeed, Buffer, LineTooLong
from postrider.protocols.engine import NEED_DATA, Need
from postrider.protocols.smtp.commands import COMMANDS, FOREIGN, Command
from postrider.protocols.smtp.wording import (
    BAD_BYTES,
    BARE_LF,
    FOREIGN_PROTOCOL,
    TOO_LONG,
    UNKNOWN,
    syntax_error,
)

#: Octets of a command line (RFC 5321 §4.5.3.1.4 asks for 512; ORCPT and ENVID need more).
MAX_COMMAND = 2048
#: Octets of a line that is too long before the connection is closed instead of waiting for its end.
_MAX_SKIP = 64 * 1024
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Hopeless(Refused):
    """After this reply the connection is closed: nothing that follows can be trusted or is worth reading."""


class Lines:
    """Reads lines from a buffer; those that are too long are skipped to their end."""

    __slots__ = ("_buffer", "_skipped")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._skipped = -1  # octets of the line that is being skipped

    def read(self, limit: int) -> bytes | Need:
        """The next line without its CRLF. Raises Refused for one that is too long, when its end is here."""
        if self._skipped >= 0:
            return self._skip()
        try:
            line = self._buffer.line(limit)
        except LineTooLong:
            self._skipped = 0
            return self._skip()
        except BareLineFeed:
            # RFC 5321 §2.3.8. What follows could be a line that somebody was made to send: it is not read.
            raise Hopeless(BARE_LF) from None
        return NEED_DATA if line is None else line

    def _skip(self) -> Need:
        dropped, ended = self._buffer.drop_line()
        self._skipped += dropped
        if self._skipped > _MAX_SKIP:
            raise Hopeless(TOO_LONG)
        if not ended:
            return NEED_DATA
        self._skipped = -1
        raise Refused(TOO_LONG)


def understood(line: bytes) -> tuple[Command, bytes]:
    """The command of a line and its argument. Raises Refused."""
    verb, _, argument = line.partition(b" ")
    verb = verb.upper()
    command = COMMANDS.get(verb)
    if command is None:
        raise Hopeless(FOREIGN_PROTOCOL) if verb in FOREIGN else Refused(UNKNOWN)
    if _CONTROL.search(line):
        raise Refused(BAD_BYTES)
    argument = argument.strip(b" ")
    if argument and not command.argument:
        raise Refused(syntax_error(command.syntax))
    return command, argument
