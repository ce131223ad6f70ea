"""What the driver asks of a protocol: a service that makes sessions, and sessions that decide on events."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from postrider.protocols.engine import Engine

if TYPE_CHECKING:
    from postrider.edge.driver import Connection


class Session(Protocol):
    """One conversation: decides on what its engine reports."""

    @property
    def engine(self) -> Engine:
        """The engine of this connection."""
        ...

    def handle(self, event: object) -> Awaitable[None] | None:
        """Decide on one event and answer the engine, at once (None) or when the awaitable is done.

        Nothing more is processed before that, and reading stops when too much has arrived meanwhile.
        """
        ...

    def failed(self) -> None:
        """handle raised something unexpected (it is logged): answer the engine that something is wrong here."""
        ...

    def lost(self) -> None:
        """The connection is over and no handler runs; called once. Release what is held."""
        ...


class Service(Protocol):
    """Makes sessions."""

    @property
    def name(self) -> str:
        """The listener's name in metrics and logs."""
        ...

    @property
    def busy(self) -> bytes:
        """What a client hears that is one too many."""
        ...

    def open(self, link: Connection) -> Session:
        """A connection stands (after the handshake, where TLS comes first)."""
        ...
