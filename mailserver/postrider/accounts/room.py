"""How much room accounts and domains have, by a look of a moment ago: advice at RCPT. The store decides at commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from postrider.accounts.directory import Directory
from postrider.contract.model import Mailbox
from postrider.model.ports import Clock
from postrider.model.reply import Reply
from postrider.store.ports import Reader
from postrider.store.values import Account

#: Seconds that a look is believed.
FRESH = 1.0
#: Looks remembered; our own accounts and domains are all that can be asked for.
_REMEMBERED = 10_000

DEFERRED = Reply(452, "4.2.2", "The mailbox is full, try again later")
REJECTED = Reply(552, "5.2.2", "The mailbox is full")
#: Nothing that is taken away makes room for it: RFC 3463 §3.3, X.2.3.
NEVER = Reply(552, "5.2.3", "The message is larger than the mailbox may be")


def full(directory: Directory, mailbox: Mailbox) -> Reply:
    """What senders hear of a mailbox that is full, or whose domain is."""
    return REJECTED if directory.policy(mailbox).rejects else DEFERRED


class Room:
    """Looks, and remembers what it saw."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def refusal(self, directory: Directory, mailbox: Mailbox, size: int) -> Awaitable[Reply | None] | None:
        """What a sender of `size` octets (0: unknown) is to hear, None where nothing limits the mailbox."""
        quota, domain_quota = directory.policy(mailbox).quota_bytes, directory.domain_quota(mailbox)
        if not quota and not domain_quota:
            return None
        return self._refusal(directory, mailbox, size)

    async def _refusal(self, directory: Directory, mailbox: Mailbox, size: int) -> Reply | None:
        account = directory.account(mailbox)
        for limit, name, look in (
            (directory.policy(mailbox).quota_bytes, account, self._of_account),
            (directory.domain_quota(mailbox), directory.domain_key(mailbox), self._of_domain),
        ):
            if not limit:
                continue
            if size > limit:
                return NEVER
            # A message that says nothing of its size has one octet at least.
            if await self._used(name, look) + max(size, 1) > limit:
                return full(directory, mailbox)
        return None

    async def _used(self, name: str, look: Callable[[str], Awaitable[int]]) -> int:
        now = self._clock.monotonic()
        found = self._seen.get(name)
        if found is not None and now - found[0] < FRESH:
            return found[1]
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        used = await look(name)
        self._seen[name] = (now, used)
        return used

    async def _of_account(self, name: str) -> int:
        return (await self._reader.usage(Account(name)))[0]

    async def _of_domain(self, name: str) -> int:
        return (await self._reader.domain_usage(name))[0]
