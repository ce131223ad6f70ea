"""What becomes of a queue row after an attempt: done, again later, or given up; and whom to tell. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from postrider.contract.model import QueuePolicy
from postrider.model.envelope import Notify
from postrider.model.ports import Random
from postrider.model.reply import Reply

#: Each interval is drawn from this part of it, so that rows of one moment spread out.
JITTER = (0.8, 1.2)


class Fate(enum.Enum):
    """How an attempt ends for one recipient."""

    DELIVERED = "delivered"
    RETRY = "retry"
    BOUNCED = "bounced"
    EXPIRED = "expired"


class Report(enum.StrEnum):
    """The action field of a DSN (RFC 3464 §2.3.3); ingest itself reports what lies in our own mailboxes."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class Row:
    """What a decision needs to know of a queue row; times are seconds since the epoch."""

    created: int
    attempts: int
    notify: Notify
    delay_told: bool
    #: False for mail with the null reverse-path: nobody is told anything (RFC 5321 §6.1).
    has_sender: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The fate of a row, when it is due again, and what its sender is told."""

    fate: Fate
    due: int = 0
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Attempted:
    """How an attempt ended: when, with which reply, and whether the next hop will report success itself."""

    now: int
    reply: Reply
    #: The reply came from a server that knows DSN, so "relayed" is its business from here on (RFC 3461 §5.2.2).
    dsn_passed_on: bool = False


def decide(row: Row, attempted: Attempted, policy: QueuePolicy, random: Random) -> Decision:
    """The fate of one recipient."""
    if attempted.reply.ok:
        success = None if attempted.dsn_passed_on else Report.RELAYED
        return Decision(Fate.DELIVERED, report=success if wants(row, success) else None)
    age = attempted.now - row.created
    if attempted.reply.permanent or age >= policy.lifetime:
        fate = Fate.BOUNCED if attempted.reply.permanent else Fate.EXPIRED
        return Decision(fate, report=Report.FAILED if wants(row, Report.FAILED) else None)
    late = age >= policy.delay_notice and not row.delay_told and wants(row, Report.DELAYED)
    due = attempted.now + interval(row.attempts, policy, random)
    return Decision(Fate.RETRY, min(due, row.created + policy.lifetime), Report.DELAYED if late else None)


def interval(attempts: int, policy: QueuePolicy, random: Random) -> int:
    """Seconds until the next attempt after `attempts` earlier ones: doubled each time up to the cap, with jitter."""
    longest = min(policy.first_retry << min(attempts, 30), policy.max_retry)
    return max(1, round(longest * random.uniform(*JITTER)))


#: RFC 3461 §4.1: what each kind of report needs in NOTIFY.
_NEEDS = {
    Report.FAILED: Notify.FAILURE,
    Report.DELAYED: Notify.DELAY,
    Report.RELAYED: Notify.SUCCESS,
}
#: What a sender who said nothing is told; of delays too, which RFC 3461 §4.1 leaves to us.
_UNASKED = frozenset({Report.FAILED, Report.DELAYED})


def wants(row: Row, report: Report | None) -> bool:
    """True when the sender is to get this report."""
    if report is None or not row.has_sender:
        return False
    return bool(_NEEDS[report] & row.notify) if row.notify else report in _UNASKED
