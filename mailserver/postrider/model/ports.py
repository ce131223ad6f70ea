"""Ports to the world: time, randomness, DNS and dialling come in through these and nowhere else."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Reads time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class Random(Protocol):
    """A cryptographic source of randomness."""

    def token(self, size: int) -> bytes:
        """`size` unpredictable bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high, for jitter."""
        ...


class Answer(enum.Enum):
    """How a DNS question ended. A failure is never mistaken for an absence."""

    NOERROR = "noerror"
    NODATA = "nodata"  # the name exists, this type does not
    NXDOMAIN = "nxdomain"
    TEMPFAIL = "tempfail"  # SERVFAIL, time-out, no server reached


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of one DNS question; `records` in presentation form (TXT strings joined, names without the final dot).

    MX records are "preference host". `secure` is true when the answer was DNSSEC-validated.
    """

    answer: Answer
    records: tuple[str, ...] = ()
    ttl: int = 0
    secure: bool = False


class Resolver(Protocol):
    """Asks DNS."""

    async def lookup(self, name: str, rdtype: str) -> Lookup:
        """Ask for `name` (any case, final dot or not) and a type such as "MX"; never raises for DNS failures."""
        ...


class Stream(Protocol):
    """One byte stream to a peer."""

    #: TLS version, cipher and peer certificate facts; empty without TLS.
    tls: Mapping[str, str]
    #: "address:port" of the two ends.
    local: str
    peer: str

    async def read(self) -> bytes:
        """The next bytes; b"" at the end of the stream. Raises OSError when the connection breaks."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of data, waiting while the peer does not read. Raises OSError when the connection breaks."""
        ...

    async def start_tls(self, server_name: str, *, verify: bool) -> None:
        """Upgrade to TLS as the client; bytes received before the handshake are discarded. Raises OSError."""
        ...

    async def close(self) -> None:
        """Close; never raises."""
        ...


class Dialer(Protocol):
    """Opens outgoing connections."""

    async def dial(self, address: str, port: int, *, seconds: float) -> Stream:
        """Connect to an IP address within `seconds`. Raises OSError (TimeoutError included)."""
        ...
