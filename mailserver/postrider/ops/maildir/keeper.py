"""Keeps the Maildirs of all declared accounts: woken by what changes in the store, and by looks at directories.

Accounts that something happened to come first, then those that had no full pass yet. Looks go round and round and
take a small part of the time, however many accounts there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from postrider.accounts.directory import Directory
from postrider.contract.model import Mailbox
from postrider.mailbox.actions import Actions, allowance
from postrider.model.ports import Clock
from postrider.ops.maildir.account import AccountMaildir, clear
from postrider.ops.maildir.adoption import Taking
from postrider.store.maildir import QUEUE, account_directory
from postrider.store.ports import Store
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account
from postrider.telemetry.events import Events

#: Accounts that are brought up to date at a time.
_WORKERS = 2
#: Accounts between two pauses of a round of looks; the shortest round, in seconds; a look's part of the time.
_STEP, _ROUND, _PART = 20, 1.0, 0.05
#: Seconds until an account is tried again that could not be brought up to date.
_AGAIN = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What keeping needs from outside."""

    store: Store
    #: What is declared at this moment.
    directory: Callable[[], Directory]
    #: Where the Maildirs are, and where large messages are spooled.
    root: Path
    spool: Path
    clock: Clock
    events: Events


class Keeper:
    """The keeper of one data directory's Maildirs."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._maildirs: dict[Account, AccountMaildir] = {}
        self._watching: dict[Account, asyncio.Task[None]] = {}
        #: Accounts that are to be brought up to date, and whether their directories are to be looked at too.
        self._urgent: dict[Account, bool] = {}
        self._new: dict[Account, None] = {}
        self._busy: set[Account] = set()
        #: Accounts that could not be brought up to date, and when they are tried again (monotonic).
        self._failed: dict[Account, float] = {}
        self._work = asyncio.Event()
        self._seen: Directory | None = None
        #: Whether nothing is shown of accounts that are not declared.
        self._tidy = False

    async def run(self) -> None:
        """Keep them until cancelled."""
        workers = [asyncio.create_task(self._work_on()) for _ in range(_WORKERS)]
        looking = asyncio.create_task(self._look_around())
        try:
            done, _ = await asyncio.wait([*workers, looking], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks = [*workers, looking, *self._watching.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- who there is ------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Take the present generation in: who is new, who is gone."""
        directory = self._ports.directory()
        if directory is self._seen:
            return
        self._seen = directory
        declared = {directory.account(mailbox): mailbox for mailbox in directory.snapshot.mailboxes}
        for account in self._maildirs.keys() - declared.keys():
            self._watching.pop(account).cancel()
            del self._maildirs[account]
            for waiting in (self._urgent, self._new, self._failed):
                waiting.pop(account, None)
        for account in declared.keys() - self._maildirs.keys():
            self._maildirs[account] = self._maildir(account)
            self._watching[account] = asyncio.create_task(self._watch(account))
            self._new[account] = None
        self._work.set()
        self._tidy = False

    async def _clear_others(self) -> None:
        """Take down what is shown of accounts that are not declared, once nobody is at work for one of them."""
        if not self._tidy and self._busy <= self._maildirs.keys():
            self._tidy = True
            await asyncio.to_thread(_clear_others, self._ports.root, set(map(account_directory, self._maildirs)))

    def _maildir(self, account: Account) -> AccountMaildir:
        ports = self._ports

        def actions() -> Actions:
            directory = ports.directory()
            mailbox: Mailbox | None = directory.declared(account)
            if mailbox is None:
                raise StoreError(Reason.NO_MAILBOX, f"{account} is not declared any more")
            return Actions(ports.store.writer, account, allowance(directory, mailbox))

        taking = Taking(
            store=ports.store, account=account, actions=actions, clock=ports.clock, events=ports.events,
            spool=ports.spool,
        )  # fmt: skip
        return AccountMaildir(ports.root / account_directory(account), taking)

    async def _watch(self, account: Account) -> None:
        async for _ in self._ports.store.feed.watch(account):
            self._wake(account, look=False)

    # -- what there is to do -----------------------------------------------------------------------------------------

    def _wake(self, account: Account, *, look: bool) -> None:
        if account in self._failed:  # its time comes
            return
        if account not in self._new:
            self._urgent[account] = look or self._urgent.get(account, False)
        else:  # its first full pass is wanted now
            del self._new[account]
            self._urgent[account] = look
        self._work.set()

    def _next(self) -> tuple[Account, bool] | None:
        for waiting in (self._urgent, self._new):
            for account in waiting:
                if account not in self._busy:
                    look = self._urgent.pop(account, False)
                    self._new.pop(account, None)
                    return account, look
        return None

    async def _work_on(self) -> None:
        while True:
            chosen = self._next()
            if chosen is None:
                self._work.clear()
                await self._work.wait()
                continue
            account, look = chosen
            self._busy.add(account)
            try:
                await self._bring(account, look=look)
            finally:
                self._busy.discard(account)
                self._work.set()

    async def _bring(self, account: Account, *, look: bool) -> None:
        maildir = self._maildirs.get(account)
        if maildir is None:
            return
        try:
            await (maildir.look() if look else maildir.follow())
        except (StoreError, OSError) as error:
            if self._maildirs.get(account) is maildir:  # else it is not declared any more
                self._fail(account, error)

    def _fail(self, account: Account, error: Exception) -> None:
        """Something is wrong with one account: it begins anew a little later, with a full pass."""
        self._ports.events.emit("maildir.failed", account=account, reason=str(error))
        self._maildirs[account] = self._maildir(account)
        self._failed[account] = self._ports.clock.monotonic() + _AGAIN
        self._urgent.pop(account, None)

    async def _look_around(self) -> None:
        """Look round and round at whose directories somebody was at work."""
        clock = self._ports.clock
        while True:
            began = clock.monotonic()
            self._renew()
            await self._clear_others()
            accounts = list(self._maildirs)
            for start in range(0, len(accounts), _STEP):
                step = clock.monotonic()
                for account in accounts[start : start + _STEP]:
                    await self._look_at(account)
                await asyncio.sleep((clock.monotonic() - step) / _PART)
            await asyncio.sleep(max(0.0, began + _ROUND - clock.monotonic()))

    async def _look_at(self, account: Account) -> None:
        maildir = self._maildirs.get(account)
        if maildir is None or account in self._new or account in self._busy:
            return
        if self._failed.get(account, 0.0) > self._ports.clock.monotonic():
            return
        self._failed.pop(account, None)
        try:
            if maildir.touched():
                self._wake(account, look=True)
            elif await maildir.is_behind():  # a hint may be lost
                self._wake(account, look=False)
        except (StoreError, OSError) as error:
            self._fail(account, error)


def _clear_others(root: Path, declared: Collection[str]) -> None:
    """Take down what is shown of accounts that are not declared."""
    if not root.is_dir():
        return
    for domain in root.iterdir():
        if domain.name == QUEUE or domain.is_symlink() or not domain.is_dir():
            continue
        for user in domain.iterdir():
            if f"{domain.name}/{user.name}" not in declared and user.is_dir() and not user.is_symlink():
                clear(user)
