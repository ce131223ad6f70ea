"""One message on its way through the stages: what is known of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from postrider.accounts.directory import Directory
from postrider.ingest.route import Routed
from postrider.ingest.spool import Spooled
from postrider.model.envelope import Envelope, Source
from postrider.model.verdict import ACCEPT, Verdict
from postrider.store.transactions import Settlement


class Arrival(msgspec.Struct, frozen=True):
    """One message as the log and the trace fields know it."""

    #: What a sender's log, our log and the Received field have in common.
    id: str
    source: Source
    envelope: Envelope
    #: Seconds since the epoch.
    at: float


class Prefix(msgspec.Struct, frozen=True):
    """The fields of one message, top to bottom; `local` and `outgoing` put together what a delivery gets."""

    return_path: bytes = b""
    signatures: bytes = b""
    #: RFC 8601 Authentication-Results; empty until there are examiners.
    results: bytes = b""
    received: bytes = b""
    #: What the author left out (RFC 6409 §8).
    completion: bytes = b""

    @property
    def unsigned(self) -> bytes:
        """What stands below the signatures."""
        return self.results + self.received + self.completion

    @property
    def local(self) -> bytes:
        """In front of a message in one of our mailboxes."""
        return self.return_path + self.outgoing

    @property
    def outgoing(self) -> bytes:
        """In front of a message that goes on to another server."""
        return self.signatures + self.unsigned


NOWHERE_YET: Final = Routed((), (), ())


class Message(msgspec.Struct):
    """Each stage fills in its own."""

    arrival: Arrival
    spooled: Spooled
    directory: Directory
    #: Queue rows that end with this message (its DSN commits together with what it reports).
    settle: Sequence[Settlement] = ()
    verdict: Verdict = ACCEPT
    routed: Routed = NOWHERE_YET
    prefix: Prefix = Prefix()
