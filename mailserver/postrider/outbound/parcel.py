"""Parcels: queue rows that are one message to one destination and go in one SMTP transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, replace

from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Recipient
from postrider.store.ports import Reader
from postrider.store.values import Account, QueueRow

#: RFC 5321 §4.5.3.1.8: as many recipients every server takes.
MAX_RECIPIENTS = 100
#: Octets of a body that are read, sent and forgotten at a time.
CHUNK = 128 * 1024


@dataclass(frozen=True, slots=True)
class Parcel:
    """At least one row; all have the same message, sender and destination. `until` is when the claims end."""

    rows: tuple[QueueRow, ...]
    until: float

    @property
    def destination(self) -> str:
        """Where it goes."""
        return self.rows[0].destination

    @property
    def size(self) -> int:
        """Octets of the message, prefix and blob."""
        return len(self.rows[0].prefix) + self.rows[0].blob.size

    @property
    def envelope(self) -> Envelope:
        """As the next server gets it."""
        first = self.rows[0]
        return Envelope(
            sender=Address.of(first.sender) if first.sender else None,
            recipients=tuple(Recipient(Address.of(row.recipient), Notify(row.notify), row.orcpt) for row in self.rows),
            size=self.size,
            body=first.body,
            smtputf8=first.smtputf8,
            ret=first.ret,
            envid=first.envid,
        )

    def only(self, rows: Iterable[QueueRow]) -> Parcel:
        """The same message for fewer recipients."""
        return replace(self, rows=tuple(rows))

    async def chunks(self, reader: Reader) -> AsyncGenerator[bytes, None]:
        """The message's bytes. Raises StoreError when they cannot be read."""
        first = self.rows[0]
        if first.prefix:
            yield first.prefix
        for start in range(0, first.blob.size, CHUNK):
            yield await reader.body(Account(first.account), first.blob, start, CHUNK)


def parcels(rows: Iterable[QueueRow], until: float) -> list[Parcel]:
    """Claimed rows, put together where one transaction can carry them; in the order they came."""
    groups: dict[tuple[object, ...], list[QueueRow]] = {}
    for row in rows:
        key = (row.destination, row.blob.id, row.sender, row.prefix, row.ret, row.envid, row.body, row.smtputf8)
        groups.setdefault(key, []).append(row)
    return [
        Parcel(tuple(group[start : start + MAX_RECIPIENTS]), until)
        for group in groups.values()
        for start in range(0, len(group), MAX_RECIPIENTS)
    ]
