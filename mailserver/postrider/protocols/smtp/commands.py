"""The table of SMTP commands: when each is allowed, how it is written, and where it is defined."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class State(enum.Enum):
    """Where the conversation stands (RFC 5321 §4.1.4)."""

    CONNECTED = "connected"  # no HELO yet
    GREETED = "greeted"
    MAIL = "mail"
    RCPT = "rcpt"
    BDAT = "bdat"  # at least one chunk is here


_ANY = tuple(State)
_OUTSIDE = (State.CONNECTED, State.GREETED)


@dataclass(frozen=True, slots=True)
class Command:
    """One row. `states` are those it is allowed in; elsewhere it gets 503."""

    name: str
    states: tuple[State, ...]
    syntax: str
    rfc: str
    #: False: an argument is an error.
    argument: bool = True
    #: Said in HELP.
    listed: bool = True


_ROWS = (
    Command("EHLO", _ANY, "EHLO name", "RFC 5321 §4.1.1.1"),
    Command("HELO", _ANY, "HELO name", "RFC 5321 §4.1.1.1"),
    Command("STARTTLS", _OUTSIDE, "STARTTLS", "RFC 3207 §4", argument=False),
    Command("AUTH", (State.GREETED,), "AUTH mechanism [initial-response]", "RFC 4954 §4"),
    Command("MAIL", (State.GREETED,), "MAIL FROM:<address> [parameters]", "RFC 5321 §4.1.1.2"),
    Command("RCPT", (State.MAIL, State.RCPT), "RCPT TO:<address> [parameters]", "RFC 5321 §4.1.1.3"),
    Command("DATA", (State.RCPT,), "DATA", "RFC 5321 §4.1.1.4", argument=False),
    # Allowed everywhere, since the chunk has to be taken off the wire before anything can be said.
    Command("BDAT", _ANY, "BDAT size [LAST]", "RFC 3030 §2"),
    Command("RSET", _ANY, "RSET", "RFC 5321 §4.1.1.5", argument=False),
    Command("NOOP", _ANY, "NOOP", "RFC 5321 §4.1.1.9"),
    Command("VRFY", _ANY, "VRFY address", "RFC 5321 §4.1.1.6"),
    Command("EXPN", _ANY, "EXPN list", "RFC 5321 §4.1.1.7", listed=False),
    Command("HELP", _ANY, "HELP [command]", "RFC 5321 §4.1.1.8"),
    Command("QUIT", _ANY, "QUIT", "RFC 5321 §4.1.1.10", argument=False),
)

COMMANDS: Mapping[bytes, Command] = {row.name.encode(): row for row in _ROWS}

#: First words of other protocols: a browser made to talk to us by a web page (RFC 5321 §7.9 calls for care).
FOREIGN = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT"})
