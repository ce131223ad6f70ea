"""How server, domain and mailbox together say how much mail is kept, and what none of them may say."""

import pytest

from postrider.contract import policy
from postrider.contract.model import Domain, Mailbox, Policy, Retention, Server

DAY = 24 * 3600


UNSAID = Policy()


def effective(mailbox: Policy = UNSAID, domain: Policy = UNSAID, server: Policy = UNSAID) -> policy.Effective:
    box = Mailbox(address="alice@example.org", **{name: getattr(mailbox, name) for name in Policy.__struct_fields__})
    return policy.effective(
        box, Domain(name="example.org", mailboxes=domain).mailboxes, Server(hostname="m", mailboxes=server).mailboxes
    )


def test_where_nobody_says_anything() -> None:
    assert effective() == policy.Effective(0, rejects=False, warnings=(80, 95), undelete=7 * DAY, retention={})
    assert effective().keeps


def test_the_most_specific_level_that_says_something_counts() -> None:
    server = Policy(quota_bytes=1, when_full="reject", quota_warnings=(50,), undelete=DAY)
    assert effective(server=server) == policy.Effective(1, rejects=True, warnings=(50,), undelete=DAY)
    domain = Policy(quota_bytes=2, undelete=0)
    found = effective(server=server, domain=domain)
    assert (found.quota_bytes, found.undelete, found.rejects) == (2, 0, True)
    assert not found.keeps
    mailbox = Policy(quota_bytes=0, when_full="defer", quota_warnings=())
    found = effective(mailbox, domain, server)
    assert (found.quota_bytes, found.rejects, found.warnings) == (0, False, ())


def test_retention_is_said_folder_by_folder() -> None:
    found = effective(
        Policy(retention=Retention(junk=0, sent=90 * DAY)),
        Policy(retention=Retention(junk=5 * DAY)),
        Policy(retention=Retention(junk=30 * DAY, trash=30 * DAY)),
    )
    assert found.retention == {"\\Sent": 90 * DAY, "\\Trash": 30 * DAY}


@pytest.mark.parametrize("level", range(3))
def test_a_hold_counts_wherever_it_is_said(level: int) -> None:
    levels = [Policy(undelete=0), Policy(), Policy()]
    levels[level] = Policy(legal_hold=True, undelete=0)
    found = effective(*levels)
    assert found.held
    assert found.keeps


def test_warnings_are_in_order_and_once() -> None:
    assert effective(Policy(quota_warnings=(95, 80, 95))).warnings == (80, 95)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Policy(quota_bytes=-1), "InvalidQuota"),
        (Policy(quota_warnings=(0,)), "InvalidQuotaWarnings"),
        (Policy(quota_warnings=(101,)), "InvalidQuotaWarnings"),
        (Policy(quota_warnings=tuple(range(1, 7))), "InvalidQuotaWarnings"),
        (Policy(undelete=10_000 * DAY), "InvalidUndelete"),
        (Policy(retention=Retention(trash=60)), "InvalidRetention"),
        (Policy(retention=Retention(junk=10_000 * DAY)), "InvalidRetention"),
    ],
)
def test_what_cannot_be_meant(bad: Policy, reason: str) -> None:
    assert [fault[0] for fault in policy.faults(bad)] == [reason]


def test_what_can_be_meant() -> None:
    fine = Policy(quota_bytes=0, quota_warnings=(1, 100), undelete=9999 * DAY, retention=Retention(trash=DAY, junk=0))
    assert list(policy.faults(fine)) == []


def test_a_retention_below_a_day_empties_no_folder() -> None:
    assert effective(server=Policy(retention=Retention(trash=60))).retention == {}
