"""DNS: the records each domain should publish, and what is to be said of those that are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from postrider.contract import dns
from postrider.contract.dns import Record
from postrider.contract.model import DkimKey, Domain, Snapshot
from postrider_operator.plan.conditions import FALSE, TRUE, UNKNOWN, Verdict
from postrider_operator.world import World

#: TXT records people word themselves: it is enough that there is one of the kind.
_OWN_WORDS = ("v=spf1", "v=DMARC1", "v=STSv1", "v=TLSRPTv1")
#: As many missing records are told in a condition's message.
_TOLD = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """The records of one domain."""

    records: tuple[Record, ...]

    def questions(self) -> tuple[tuple[str, str], ...]:
        """What to ask DNS, each once."""
        return tuple(dict.fromkeys((record.name, record.type) for record in self.records))

    def as_status(self) -> list[dict[str, object]]:
        """The records as MailDomain.status has them."""
        return [{"name": r.name, "type": r.type, "ttl": r.ttl, "value": r.value} for r in self.records]


def wanted(snapshot: Snapshot | None, domain: str) -> Wanted:
    """The records of a domain that the snapshot serves; none of one it does not."""
    row = next((d for d in snapshot.domains if d.name == domain), None) if snapshot else None
    if snapshot is None or row is None:
        return Wanted(())
    return Wanted(dns.wanted_records(snapshot.server, row, _keys(snapshot, row)))


def verdicts(world: World, domain: str, records: Wanted) -> Mapping[str, Verdict]:
    """The conditions DNSReady, MXPublished and DKIMPublished of a domain."""
    signing = tuple(r for r in records.records if "._domainkey." in r.name)
    exchange = tuple(r for r in records.records if r.type == "MX" and r.name == domain)
    return {
        "DNSReady": _verdict(world, records.records),
        "MXPublished": _verdict(world, exchange),
        "DKIMPublished": _verdict(world, signing),
    }


def key_verdict(world: World, record: Record) -> Verdict:
    """The condition DNSReady of a DkimKey."""
    return _verdict(world, (record,))


def _keys(snapshot: Snapshot, row: Domain) -> list[DkimKey]:
    return [key for key in snapshot.keys if key.domain == row.name]


def _verdict(world: World, records: tuple[Record, ...]) -> Verdict:
    if not records:
        return Verdict(UNKNOWN, "NotServed", "Nothing to publish before the domain is served.")
    missing = [r for r in records if (r.name, r.type) in world.dns and not _published(r, world.dns[r.name, r.type])]
    if missing:
        told = "; ".join(_told(record, world.dns[record.name, record.type]) for record in missing[:_TOLD])
        more = f"; and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        return Verdict(FALSE, "NotPublished", f"Publish {told}{more}.")
    if any((record.name, record.type) not in world.dns for record in records):
        return Verdict(UNKNOWN, "NotChecked", "DNS has not been asked yet.")
    return Verdict(TRUE, "Published", "DNS answers with all records.")


def _published(record: Record, seen: tuple[str, ...]) -> bool:
    words = next((start for start in _OWN_WORDS if record.value.startswith(start)), None)
    if words is not None:
        return any(value.startswith(words) for value in seen)
    return _plain(record.value) in {_plain(value) for value in seen}


def _plain(value: str) -> str:
    """A value for comparing: spaces and the case of names do not count; a key's base64 keeps its case."""
    text = " ".join(value.split()).rstrip(".")
    if text.startswith("v=DKIM1"):
        return text.replace(" ", "").rstrip(";")
    return text.lower()


def _told(record: Record, seen: tuple[str, ...]) -> str:
    value = record.value if len(record.value) <= 60 else record.value[:57] + "..."
    others = f" (DNS says {', '.join(seen[:2])[:80]})" if seen and record.type != "TXT" else ""
    return f"{record.name} {record.type} {value}{others}"
