"""Wanted records against golden zone files; POSTRIDER_UPDATE_GOLDEN=1 writes them anew."""

import os
from pathlib import Path

import dns.rdataclass
import dns.zone
import msgspec
import pytest

from postrider.contract import dkim
from postrider.contract.dns import Ports, Record, mta_sts_id, mta_sts_policy, wanted_records, zone_file
from postrider.contract.model import DkimKey, Domain, Server, Snapshot

GOLDEN = Path(__file__).parent / "golden" / "dns"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/snapshot.json"))


def wanted(case: str) -> tuple[Record, ...]:
    made = msgspec.json.decode((GOLDEN / case / "snapshot.json").read_bytes(), type=Snapshot)
    ports = GOLDEN / case / "ports.json"
    offered = msgspec.json.decode(ports.read_bytes(), type=Ports) if ports.exists() else None
    return tuple(
        record for domain in made.domains for record in wanted_records(made.server, domain, made.keys, offered)
    )


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    zone = GOLDEN / case / "zone.txt"
    if os.environ.get("POSTRIDER_UPDATE_GOLDEN"):
        zone.write_text(zone_file(wanted(case)))
    assert zone_file(wanted(case)) == zone.read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_zone_file_says_what_the_records_say(case: str) -> None:
    """dnspython reads the file; what it holds is, in the form of a look-up, what is wanted."""
    records = wanted(case)
    zone = dns.zone.from_text(zone_file(records), origin=".", relativize=False, check_origin=False)
    held = set()
    for name, ttl, rdata in zone.iterate_rdatas():
        if rdata.rdtype.name == "TXT":
            assert all(len(part) <= 255 for part in rdata.strings)
            value = b"".join(rdata.strings).decode()
        else:
            value = rdata.to_text() if rdata.to_text().endswith(" .") else rdata.to_text().rstrip(".")
        held.add(Record(name.to_text(omit_final_dot=True), rdata.rdtype.name, ttl, value))
    assert held == set(records)


def test_there_are_cases() -> None:
    assert {"plain", "two_keys", "only_tls", "own_host"} <= set(CASES)


def test_keys_of_other_domains_are_not_published() -> None:
    pem = dkim.generate("Ed25519")
    key = DkimKey(domain="other.example", selector="s1", algorithm="Ed25519", pem=pem)
    records = wanted_records(Server(hostname="mx.example.org"), Domain(name="example.org"), [key])
    assert not [record for record in records if "_domainkey" in record.name]


def test_txt_is_escaped_in_the_zone_file_only() -> None:
    record = Record("a.example", "TXT", 60, 'quote " and \\ backslash')
    assert zone_file([record]) == 'a.example. 60 IN TXT "quote \\" and \\\\ backslash"\n'


def test_the_policy_and_its_id_change_together() -> None:
    one, two = Server(hostname="a.example"), Server(hostname="b.example")
    assert mta_sts_policy(one) == "version: STSv1\r\nmode: testing\r\nmx: a.example\r\nmax_age: 604800\r\n"
    assert mta_sts_id(one) == mta_sts_id(Server(hostname="a.example", name="x"))
    assert mta_sts_id(one) != mta_sts_id(two)
    # RFC 8461 §3.1
    assert mta_sts_id(one).isalnum()
    assert len(mta_sts_id(one)) <= 32
