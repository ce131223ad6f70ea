"""Warns users whose mailboxes fill up, once at each percentage, and counts them and their domains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from postrider.accounts.directory import Directory
from postrider.contract.model import Mailbox
from postrider.contract.policy import WARNINGS, Effective
from postrider.ingest.pipeline import Ingest
from postrider.mime.compose import Letter, plain
from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Recipient
from postrider.model.ports import Random
from postrider.model.reply import Refused
from postrider.ops.exchange.progress import size
from postrider.ops.janitor import accounts
from postrider.store.ports import Store
from postrider.store.transactions import Reason, Remember, StoreError
from postrider.store.values import AccountRow
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Percent points that usage must fall below a warning before it is given again: nobody is warned by every message.
MARGIN = 2
#: Seconds that a warning given is remembered: whoever stays above it is told once a year.
REMEMBERED = 366 * 24 * 3600
#: Full: counted beside the percentages at which users are warned, and told of domains.
_FULL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What warning needs from outside."""

    store: Store
    directory: Callable[[], Directory]
    ingest: Ingest
    random: Random
    events: Events
    metrics: Metrics


def reached(used: int, quota: int, levels: Iterable[int]) -> int:
    """The highest of these percentages of a quota that is reached, 0 for none."""
    return max((level for level in levels if used * 100 >= quota * level), default=0)


def told(now: int, before: int, low: int) -> tuple[bool, int]:
    """Whether to tell of a percentage reached now, and what to remember, given what was told of before.

    `low` is the percentage reached with MARGIN added to the usage: only when that is below what was told is it told
    again.
    """
    if now > before:
        return True, now
    return False, min(before, max(low, now))


class Warner:
    """Looks at all accounts and domains with a quota."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._counted: set[tuple[str, int]] = set()

    async def run_once(self, now: float) -> None:
        """One look. What was told is remembered in the store first: a crash may lose a warning, never repeat it.

        Raises StoreError where the store can change nothing at this time.
        """
        directory = self._ports.directory()
        filled: dict[tuple[str, int], int] = dict.fromkeys(self._counted, 0)
        async for row in accounts(self._ports.store.reader):
            mailbox = directory.declared(row.name)
            if mailbox is None or not (policy := directory.policy(mailbox)).quota_bytes:
                continue
            _count(filled, "account", _levels(row.bytes, policy.quota_bytes, policy.warnings))
            if await self._crossed(row.name, (row.bytes, policy.quota_bytes), policy.warnings, int(now)):
                await self._warn(mailbox, row, policy, now)
        for domain in directory.snapshot.domains:
            if domain.quota_bytes:
                key = f"{domain.namespace}/{domain.name}"
                used, _ = await self._ports.store.reader.domain_usage(key)
                _count(filled, "domain", _levels(used, domain.quota_bytes, WARNINGS))
                usage = (used, domain.quota_bytes)
                if await self._crossed(key, usage, (*WARNINGS, _FULL), int(now)):
                    fields = {"domain": domain.name, "bytes": used, "quota": domain.quota_bytes}
                    self._ports.events.emit("quota.domain", percent=used * 100 // domain.quota_bytes, **fields)
        for (what, percent), number in filled.items():
            self._ports.metrics.observe("postrider_quota_filled", number, what=what, percent=str(percent))
        self._counted = set(filled)

    async def _crossed(self, name: str, usage: tuple[int, int], levels: Iterable[int], now: int) -> bool:
        """Whether a percentage was crossed since the last look."""
        key = f"quota/{name}"
        noted = await self._ports.store.reader.recall(key, now)
        before = noted[0] if noted else 0
        used, quota = usage
        tell, remember = told(
            reached(used, quota, levels), before, reached(used + quota * MARGIN // 100, quota, levels)
        )
        if remember != before:
            await self._ports.store.writer.commit(Remember(key, bytes([remember]), now + REMEMBERED))
        return tell

    async def _warn(self, mailbox: Mailbox, row: AccountRow, policy: Effective, now: float) -> None:
        level = reached(row.bytes, policy.quota_bytes, policy.warnings)
        to = Address.of(mailbox.address)
        server = self._ports.directory().server
        letter = Letter(
            hostname=server.hostname,
            author=server.postmaster or f"postmaster@{to.domain}",
            to=mailbox.address,
            subject=f"Your mailbox is {row.bytes * 100 // policy.quota_bytes} % full",
            paragraphs=_paragraphs(mailbox, row, policy, level),
            at=now,
            token=self._ports.random.token(10).hex(),
        )
        envelope = Envelope(None, (Recipient(to, Notify.NEVER),), smtputf8=not mailbox.address.isascii())
        self._ports.events.emit("quota.warned", account=row.name, percent=level, bytes=row.bytes)
        self._ports.metrics.count("postrider_quota_warnings_total", 1, percent=str(level))
        try:
            await self._ports.ingest.own(plain(letter), envelope)
        except (Refused, StoreError) as error:
            if isinstance(error, StoreError) and error.reason is Reason.UNAVAILABLE:
                raise
            self._ports.events.emit("server.failure", where="quota warning", account=row.name, exc_info=True)


def _paragraphs(mailbox: Mailbox, row: AccountRow, policy: Effective, level: int) -> list[str]:
    fate = "is returned to its senders at once" if policy.rejects else "waits at its senders' servers for some days"
    after = "." if policy.rejects else ", and is returned to them if there is no room by then."
    ask = "If you need more room, ask your administrator: an answer to this letter goes there."
    return [
        "Hello,",
        f"your mailbox {mailbox.address} is filling up: {size(row.bytes)} of {size(policy.quota_bytes)} are in use.",
        f"When it is full, new mail {fate}{after}",
        f"To make room, delete what you do not need any more, large attachments first, and empty the trash. {ask}",
        f"You get this letter once at {level} %, and again only when there was more room in between.",
    ]


def _levels(used: int, quota: int, warnings: Iterable[int]) -> dict[int, bool]:
    return {level: used * 100 >= quota * level for level in (*warnings, _FULL)}


def _count(filled: dict[tuple[str, int], int], what: str, levels: dict[int, bool]) -> None:
    for level, full in levels.items():
        filled[what, level] = filled.get((what, level), 0) + full
