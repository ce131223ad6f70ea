"""The DNS records a domain should publish, as values and as a zone file.

Records are written as `model.ports.Lookup` gives them, so that wanted and observed compare as they stand: names
without the final dot, TXT in one piece. Only the zone file knows about dots, quotes and 255 octets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from postrider.contract import dkim
from postrider.contract.model import DkimKey, Domain, Server

TTL = 3600  # seconds
#: RFC 8461 §3.2: how long senders keep the policy, a week.
MTA_STS_MAX_AGE = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Record:
    """One wanted record."""

    name: str
    type: str
    ttl: int
    value: str

    def __str__(self) -> str:
        return f"{self.name} {self.type} {self.ttl} {self.value}"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where clients find the services that SRV records tell of; 0 is not offered."""

    submissions: int = 465
    submission: int = 587
    imaps: int = 993
    imap: int = 143
    pop3s: int = 0
    pop3: int = 0


#: Service, and its priority among those of its kind: TLS from the first octet comes first (RFC 8314 §5.1).
_SERVICES = (
    ("submissions", 0),
    ("submission", 10),
    ("imaps", 0),
    ("imap", 10),
    ("pop3s", 20),
    ("pop3", 30),
)


def wanted_records(
    server: Server, domain: Domain, keys: Iterable[DkimKey], ports: Ports | None = None
) -> tuple[Record, ...]:
    """Everything `domain` should publish; of `keys`, all that are its own, in use or not yet.

    Addresses of the server itself are not among them: nobody here knows them. Raises dkim.BadKey.
    """
    name, host = domain.name, server.hostname
    postmaster = f"mailto:postmaster@{name}"
    records = [
        Record(name, "MX", TTL, f"10 {host}"),  # RFC 5321 §5.1
        # RFC 7208. "~all", not "-all": a receiver that stops at SPF would never see the signature (RFC 9989 §8.1).
        Record(name, "TXT", TTL, "v=spf1 mx ~all"),
        *_dkim_records(domain, keys),
        Record(f"_dmarc.{name}", "TXT", TTL, f"v=DMARC1; p=none; rua={postmaster}"),  # RFC 9989 §4.7
        Record(f"_mta-sts.{name}", "TXT", TTL, f"v=STSv1; id={mta_sts_id(server)}"),  # RFC 8461 §3.1
        Record(f"mta-sts.{name}", "CNAME", TTL, host),
        Record(f"_smtp._tls.{name}", "TXT", TTL, f"v=TLSRPTv1; rua={postmaster}"),  # RFC 8460 §3
        *(_service(name, host, *row, ports or Ports()) for row in _SERVICES),
        Record(f"autoconfig.{name}", "CNAME", TTL, host),
        Record(f"_autodiscover._tcp.{name}", "SRV", TTL, f"0 1 443 {host}"),
    ]
    # RFC 1034 §3.6.2: a name that is the server's own has addresses and cannot be an alias for itself.
    return tuple(record for record in records if record.type != "CNAME" or record.name != host)


def mta_sts_policy(server: Server) -> str:
    """The policy file of RFC 8461 §3.2 that belongs to the _mta-sts record, with its CRLFs."""
    lines = ("version: STSv1", "mode: testing", f"mx: {server.hostname}", f"max_age: {MTA_STS_MAX_AGE}")
    return "".join(f"{line}\r\n" for line in lines)


def mta_sts_id(server: Server) -> str:
    """The policy's id: changes when, and only when, the policy does (RFC 8461 §3.1: 1 to 32 letters and digits)."""
    return hashlib.sha256(mta_sts_policy(server).encode()).hexdigest()[:20]


def zone_file(records: Iterable[Record]) -> str:
    """The records in the master file format (RFC 1035 §5.1), ready to paste."""
    rows = [(f"{record.name}.", str(record.ttl), "IN", record.type, _rdata(record)) for record in records]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return "".join(
        " ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4])) + "\n"
        for row in rows
    )


def _dkim_records(domain: Domain, keys: Iterable[DkimKey]) -> Iterable[Record]:
    for key in sorted(keys, key=lambda key: key.selector):
        if key.domain == domain.name:
            yield Record(dkim.record_name(key.selector, key.domain), "TXT", TTL, dkim.public_txt(key.pem))


def _service(name: str, host: str, service: str, priority: int, ports: Ports) -> Record:
    port: int = getattr(ports, service)
    # RFC 6186 §3.4: a target of "." says that the service is not offered.
    return Record(f"_{service}._tcp.{name}", "SRV", TTL, f"{priority} 1 {port} {host}" if port else "0 0 0 .")


def _rdata(record: Record) -> str:
    if record.type == "TXT":
        return " ".join(_quoted(record.value[at : at + 255]) for at in range(0, max(1, len(record.value)), 255))
    return record.value if record.value.endswith(".") else f"{record.value}."


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
