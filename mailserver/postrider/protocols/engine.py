"""The four verbs every engine speaks, so that one driver runs all of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol


class Need(enum.Enum):
    """Returned by next_event when there is nothing to hand out."""

    DATA = "data"


NEED_DATA = Need.DATA


@dataclass(frozen=True, slots=True)
class StartTls:
    """The peer was told to begin TLS. Write take_output(), upgrade the transport, then call tls_started().

    Whatever was buffered behind the command has been discarded (RFC 3207 §6: no command slips in before the handshake).
    """


@dataclass(frozen=True, slots=True)
class Closed:
    """The conversation is over: write take_output() and close. Nothing follows."""


class Engine(Protocol):
    """Bytes in, events out. Split invariance is the law: any chunking of the input gives the same events and output.

    Events that need a decision are answered by the protocol's own answer methods before the next event is asked for.
    """

    @property
    def timeout(self) -> float:
        """Seconds to wait for the peer in the present state."""
        ...

    def feed(self, data: bytes) -> None:
        """Bytes from the peer; b"" is the end of the stream. Only keeps them: may be called at any time."""
        ...

    def next_event(self) -> object:
        """The next thing that happened, or NEED_DATA."""
        ...

    def take_output(self) -> bytes:
        """Bytes to send; each is handed out once."""
        ...

    def timed_out(self) -> None:
        """`timeout` passed and nothing happened: say what the protocol says then; the next event is Closed."""
        ...

    def tls_started(self) -> None:
        """After StartTls: the handshake is done, what the peer said before it counts no longer."""
        ...

    def drain(self) -> None:
        """We are going: finish what is under way, then say so (421, BYE); the next event after that is Closed."""
        ...
