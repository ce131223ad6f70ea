"""Brings expunged mail back while the undelete window lasts, into the folders it was in."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from postrider.mailbox.actions import Actions
from postrider.mailbox.names import INBOX, found_name
from postrider.store.ports import Reader, Store
from postrider.store.transactions import Reason, Reinstate, Release, StoreError
from postrider.store.values import Account, AccountRow, ExpungedRow

#: Rows that one read looks at, and messages that one transaction brings back.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """Which messages are meant: all of a folder, or of all folders with "", expunged at a time or later."""

    folder: str = ""
    since: int = 0

    def means(self, row: ExpungedRow) -> bool:
        """Whether a message is one of them."""
        return row.at >= self.since and (not self.folder or row.mailbox == found_name(self.folder))


async def window(reader: Reader, account: Account, wish: Wish) -> AsyncIterator[ExpungedRow]:
    """The messages that can be brought back, in the order they were expunged in."""
    after = 0
    while page := await reader.expunged(account, after=after, limit=PAGE):
        for row in page:
            if wish.means(row):
                yield row
        after = page[-1].id


async def bring_back(actions: Actions, reader: Reader, wish: Wish, into: str, back: Counter[str]) -> None:
    """Bring messages back into the folders they were in, made anew where they are gone, or all `into` one.

    Raises StoreError; then `back` says, by folder, what is there again all the same.
    """
    ids: dict[str, list[int]] = {}
    async for row in window(reader, actions.account, wish):
        ids.setdefault(found_name(into) if into else row.mailbox or INBOX, []).append(row.id)
    known = {folder.name: folder.id for folder in await reader.mailboxes(actions.account)}
    for name, messages in ids.items():
        target = known[name] if name in known else (await actions.create(name)).id
        for start in range(0, len(messages), PAGE):
            done = await actions.undelete(messages[start : start + PAGE], target)
            back[name] += len(done.target)


async def removed(reader: Reader, account: Account) -> AccountRow | None:
    """What was kept when the Mailbox of this account was removed with all its mail; of several the last."""
    return max(await kept(reader, account), key=lambda row: row.released, default=None)


async def kept(reader: Reader, account: Account) -> list[AccountRow]:
    """Everything that was kept when Mailboxes of this account were removed."""
    namespace, _, address = account.partition("/")
    after, found = f"{namespace}/#", list[AccountRow]()
    while page := await reader.accounts(after=after, limit=PAGE):
        for row in page:
            if not row.name.startswith(f"{namespace}/#"):
                return found
            if row.released and row.name.endswith(f" {address}"):
                found.append(row)
        after = page[-1].name
    return found


async def reinstate(store: Store, kept: Account, account: Account) -> None:
    """Give the mail that was kept its name again. Raises StoreError: EXISTS when the account has other mail by now."""
    present = await store.reader.account(account)
    if present is not None and not present.messages:  # made when the Mailbox was declared again
        await store.writer.commit(Release(account, keep=True))
    try:
        await store.writer.commit(Reinstate(kept, account))
    except StoreError as error:
        if error.reason is not Reason.EXISTS:
            raise
        raise StoreError(error.reason, f"{account} has other mail by now: two accounts cannot become one") from error
