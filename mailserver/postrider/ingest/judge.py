"""Stage 3, judge: facts and policy become a verdict. Pure: the same facts give the same verdict, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from postrider.contract.model import Limits
from postrider.model.facts import Fact, Facts
from postrider.model.reply import Reply
from postrider.model.verdict import ACCEPT, Verdict


def judge(facts: Facts, limits: Limits) -> Verdict:
    """The verdict of the first rule that has one; without any the message is accepted."""
    for rule in RULES:
        verdict = rule(facts, limits)
        if verdict is not None:
            return verdict
    return ACCEPT


def _too_large(facts: Facts, limits: Limits) -> Verdict | None:
    # RFC 1870 §6.1: the protocol engine refuses earlier; other sources meet the limit here.
    if facts.size <= limits.message_bytes:
        return None
    return Verdict(Reply(552, "5.3.4", f"Message too large, at most {limits.message_bytes} octets"))


def _loops(facts: Facts, limits: Limits) -> Verdict | None:
    # RFC 5321 §6.3: counting Received fields finds loops.
    if facts.received_count <= limits.received_fields:
        return None
    return Verdict(Reply(554, "5.4.6", f"Mail loop: more than {limits.received_fields} Received fields"))


def _foreign_author(facts: Facts, limits: Limits) -> Verdict | None:
    author = next(_of(facts, "author"), None)
    if author is None or author.result != "fail":
        return None
    return Verdict(Reply(550, "5.7.1", f"The From field names an address you may not send as: {author.reason}"))


def _of(facts: Facts, method: str) -> Iterator[Fact]:
    return (fact for fact in facts.findings if fact.method == method)


Rule = Callable[[Facts, Limits], Verdict | None]

#: In the order they are asked.
RULES: tuple[Rule, ...] = (_too_large, _loops, _foreign_author)
