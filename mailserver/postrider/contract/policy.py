"""How much mail an account may hold and how long: server, domain and mailbox put together, and what they may say.

Pure. The most specific level that says something counts, setting by setting and folder by folder; a legal hold counts
wherever it is said, so that nobody can lift the one above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from postrider.contract.model import SPECIAL_USES, Policy

#: Percentages of a quota at which the user is warned where nobody says otherwise.
WARNINGS = (80, 95)
#: More warnings than that warn of nothing.
MAX_WARNINGS = 5
_DAY = 24 * 3600
#: The longest time that can be said; and the shortest after which mail is removed unasked, so that a slip of the pen
#: (1m for one month) empties no folder.
LONGEST = 9999 * _DAY
SHORTEST_RETENTION = _DAY
#: Seconds that expunged mail can be brought back where nobody says otherwise.
UNDELETE = 7 * _DAY

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for one account."""

    #: 0: unlimited.
    quota_bytes: int = 0
    #: Whether senders are refused for good when it is full; else they try again.
    rejects: bool = False
    #: Percentages, ascending.
    warnings: tuple[int, ...] = WARNINGS
    #: Seconds; 0: what is expunged is gone.
    undelete: int = UNDELETE
    #: Seconds by special use ("\\Trash").
    retention: Mapping[str, int] = field(default_factory=dict)
    held: bool = False

    @property
    def keeps(self) -> bool:
        """Whether what is expunged stays for a while, hidden."""
        return self.held or self.undelete > 0


def effective(*levels: Policy) -> Effective:
    """What holds for an account, from what its mailbox, domain and server say: the most specific first.

    A retention that `faults` complains of empties no folder.
    """
    spans = {use: _first(*(getattr(level.retention, use) for level in levels), default=0) for use in SPECIAL_USES}
    return Effective(
        quota_bytes=_first(*(level.quota_bytes for level in levels), default=0),
        rejects=_first(*(level.when_full for level in levels), default="defer") == "reject",
        warnings=tuple(sorted(set(_first(*(level.quota_warnings for level in levels), default=WARNINGS)))),
        undelete=_first(*(level.undelete for level in levels), default=UNDELETE),
        retention={f"\\{use.capitalize()}": span for use, span in spans.items() if span >= SHORTEST_RETENTION},
        held=any(level.legal_hold for level in levels),
    )


def faults(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """What is wrong with one level: a condition's reason, the message, and what to do."""
    if policy.quota_bytes is not None and policy.quota_bytes < 0:
        yield "InvalidQuota", f"a quota of {policy.quota_bytes} bytes", "Set a quota of 0 (none) or more."
    warnings = policy.quota_warnings or ()
    if len(warnings) > MAX_WARNINGS or not all(1 <= percent <= 100 for percent in warnings):
        message = f"quota warnings at {', '.join(map(str, warnings[:10]))} %"
        yield "InvalidQuotaWarnings", message, f"List at most {MAX_WARNINGS} percentages from 1 to 100."
    if policy.undelete is not None and not 0 <= policy.undelete <= LONGEST:
        yield "InvalidUndelete", f"an undelete window of {policy.undelete} s", "Set at most 9999 days; 0d is none."
    for use in SPECIAL_USES:
        span = getattr(policy.retention, use)
        if span and not SHORTEST_RETENTION <= span <= LONGEST:
            message = f"mail in the {use} folder would be removed after {span} s"
            yield "InvalidRetention", message, "Set 1 to 9999 days; 0d keeps it."


def _first(*said: _T | None, default: _T) -> _T:
    return next((value for value in said if value is not None), default)
