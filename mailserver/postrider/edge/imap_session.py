"""One IMAP connection: who is logged in, what is selected, and telling news only when it may be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from postrider.accounts.directory import Directory
from postrider.contract.model import Mailbox
from postrider.edge.driver import Connection
from postrider.ingest.spool import Spool
from postrider.mailbox.actions import Actions, allowance
from postrider.mailbox.contents import Contents
from postrider.mailbox.names import found_name
from postrider.mailbox.view import LostCount, News, NoSuchMessage, View
from postrider.model.ports import Clock
from postrider.model.runs import Run
from postrider.protocols.imap import events as e
from postrider.protocols.imap import responses as r
from postrider.protocols.imap.fetch import flag_lines
from postrider.protocols.imap.responses import Status
from postrider.protocols.imap.server import Server
from postrider.store.ports import Store
from postrider.store.search.lookup import Lookup
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Changes, MailboxRow, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Output collected before it is sent, in bytes and in pieces.
SEND_SIZE = 64 * 1024
SEND_LINES = 500
#: Changed or vanished messages that are taken in and told at once.
NEWS_SLICE = 2000
#: Seconds after which an idle session looks for news even if no hint came.
IDLE_LOOK = 60.0

#: What a refusal of the store is to a client: response code and text (RFC 5530, RFC 9051 §7.1, RFC 9208 §4.3).
REFUSALS: Mapping[Reason, tuple[bytes, str]] = {
    Reason.NO_MAILBOX: (b"NONEXISTENT", "There is no such mailbox"),
    Reason.NO_MESSAGE: (b"NONEXISTENT", "There is no such message"),
    Reason.EXISTS: (b"ALREADYEXISTS", "There is such a mailbox already"),
    Reason.HAS_CHILDREN: (b"HASCHILDREN", "The mailbox has others below it, delete those first"),
    Reason.OVER_QUOTA: (b"OVERQUOTA", "This does not fit into your quota"),
    Reason.NO_SPACE: (b"UNAVAILABLE", "No space for this now, try again later"),
    Reason.WRITE_FAILED: (b"UNAVAILABLE", "This could not be stored, try again later"),
    Reason.UNAVAILABLE: (b"UNAVAILABLE", "Not available now, try again later"),
    Reason.FENCED: (b"SERVERBUG", "Internal error"),
    Reason.CONFLICT: (b"INUSE", "It was changed meanwhile"),
    Reason.AGAIN: (b"INUSE", "The mailbox is too busy for this now, try again"),
    Reason.BUSY: (b"INUSE", "A large copy into this mailbox is under way, try again later"),
    Reason.HELD: (b"CANNOT", "The account is under legal hold"),
    Reason.LIMIT: (b"LIMIT", "This is more than one may have"),
    Reason.INVALID: (b"CANNOT", "This is not possible"),
}


class LoginCheck(Protocol):
    """Who may log in (accounts.login)."""

    async def check(self, login: str, password: str, ip: str) -> Mailbox | None:
        """The mailbox, or None."""
        ...


@dataclass(frozen=True, slots=True)
class ImapDeps:
    """What IMAP needs from around it. `directory` gives the present generation at every call."""

    store: Store
    login: LoginCheck
    directory: Callable[[], Directory]
    events: Events
    metrics: Metrics
    clock: Clock
    #: Where messages of an APPEND lie until they are stored.
    spool: Path
    #: What SEARCH asks for candidates; without one it looks at everything.
    index: Lookup | None = None


@dataclass(frozen=True, slots=True)
class User:
    """Who has logged in."""

    mailbox: Mailbox
    account: Account
    actions: Actions
    contents: Contents


@dataclass(slots=True)
class Arriving:
    """One message of an APPEND, on its way in."""

    event: e.AppendMessage
    spool: Spool


class ImapSession:
    """The state behind one engine. Handlers of commands are functions of their own that take it."""

    def __init__(self, deps: ImapDeps, link: Connection, engine: Server) -> None:
        self.deps = deps
        self.link = link
        self.engine = engine
        self.user_or_none: User | None = None
        self.view_or_none: View | None = None
        #: Messages of the APPEND under way, and the folder they are for.
        self.arriving: list[Arriving] = []
        self.target: MailboxRow | None = None
        self.dismissed = ""
        #: How often collected responses went out.
        self.sent = 0
        self._idling: asyncio.Task[None] | None = None

    # -- what handlers ask -------------------------------------------------------------------------------------------

    @property
    def user(self) -> User:
        """Who has logged in; the engine lets no other command through before."""
        if self.user_or_none is None:
            raise RuntimeError("nobody has logged in")
        return self.user_or_none

    @property
    def view(self) -> View:
        """The selected mailbox; the engine lets commands on messages through only then."""
        if self.view_or_none is None:
            raise RuntimeError("no mailbox is selected")
        return self.view_or_none

    @property
    def condstore(self) -> bool:
        """True when the client wants modseqs in FETCH responses."""
        return "CONDSTORE" in self.engine.enabled

    @property
    def rev2(self) -> bool:
        """True when the client has enabled IMAP4rev2."""
        return "IMAP4rev2" in self.engine.enabled

    async def folder(self, name: str) -> MailboxRow:
        """A folder by its name. Raises StoreError(NO_MAILBOX)."""
        wanted = found_name(name)
        for row in await self.deps.store.reader.mailboxes(self.user.account):
            if row.name == wanted:
                return row
        raise StoreError(Reason.NO_MAILBOX)

    def enable_condstore(self) -> None:
        """A command asked for modseqs: from now on they are told (RFC 7162 §3.1)."""
        if not self.condstore:
            self.engine.enable("CONDSTORE")
            if self.view_or_none is not None:
                self._say_highest()

    def _say_highest(self) -> None:
        self.engine.untagged(r.ok_code(b"HIGHESTMODSEQ %d" % self.view.known, b"Highest"))

    # -- answers -----------------------------------------------------------------------------------------------------

    async def send(self, lines: list[bytes], *, always: bool = True) -> None:
        """Send collected responses, and wait while the client reads slowly."""
        if lines and (always or len(lines) >= SEND_LINES or sum(map(len, lines)) >= SEND_SIZE):
            self.sent += 1
            self.engine.untagged(*lines)
            lines.clear()
            await self.link.send()

    async def finish(self, text: str = "Done", code: bytes = b"", *, expunge: bool = True) -> None:
        """Tell the news and end the command with OK."""
        await self.tell(expunge=expunge)
        if "QRESYNC" in self.engine.enabled and self.view_or_none and self.view.withheld:
            # Who goes by the MODSEQs it has seen would not ask for what is withheld (erratum 1810 of RFC 5162).
            self._say_highest()
        self.engine.answer(Status.OK, text, code)

    def refuse(self, text: str, code: bytes = b"") -> None:
        """End the command with NO."""
        self.engine.answer(Status.NO, text, code)

    async def tell(self, *, expunge: bool = True) -> None:
        """Tell what happened in the selected mailbox; what is gone only where numbers may change (§7.5.1)."""
        more = self.view_or_none is not None
        while more:
            changes = await self._changes()
            if not self.view.filled:  # nothing has happened
                return
            more = changes.more
            for news in self.view.take(changes, expunge=expunge, most=NEWS_SLICE):
                if news:
                    self._say(news)
                    await self.link.send()
                if news.expunged:  # a million of them are not counted out before others have their turn
                    await asyncio.sleep(0)
            if more:
                await asyncio.sleep(0)

    async def _changes(self) -> Changes:
        """A slice of what happened since the view was last told; it is filled where there is something."""
        view = self.view
        changes = await self.deps.store.reader.changes(
            self.user.account, view.mailbox.id, view.modseq, limit=NEWS_SLICE
        )
        if not view.filled and (changes.changed or changes.vanished):
            await self.fill()
        return changes

    async def history(self, since: int) -> AsyncIterator[Changes]:
        """What happened in the selected mailbox since a modseq, a slice at a time."""
        more = True
        while more:
            changes = await self.deps.store.reader.changes(
                self.user.account, self.view.mailbox.id, since, limit=NEWS_SLICE
            )
            yield changes
            since, more = changes.modseq, changes.more
            if more:
                await asyncio.sleep(0)

    async def vanished(self, since: int) -> list[Run]:
        """What vanished from the selected mailbox since a modseq."""
        return [run async for changes in self.history(since) for gone in changes.vanished for run in gone.runs]

    async def fill(self) -> None:
        """Read the selected mailbox's UIDs, where no command has needed them yet.

        Raises LostCount, and ends the session, when too much has happened since the SELECT.
        """
        view = self.view
        if view.filled:
            return
        uids = await self.deps.store.reader.uids(self.user.account, view.mailbox.id)
        try:
            view.fill(uids, await self.vanished(view.modseq))
        except LostCount:
            self.dismissed = "The selected mailbox was changed too much, select it again"
            raise

    def _say(self, news: News) -> None:
        lines: list[bytes] = []
        if news.vanished and "QRESYNC" in self.engine.enabled:
            lines.append(b"* VANISHED %b\r\n" % r.compact_set(news.vanished))
        else:
            lines.extend(b"* %d EXPUNGE\r\n" % number for number in news.expunged)
        if news.exists is not None:
            lines.append(b"* %d EXISTS\r\n" % news.exists)
        if news.recent is not None:
            lines.append(b"* %d RECENT\r\n" % news.recent)
        items = ("UID", "FLAGS", "MODSEQ") if self.condstore else ("UID", "FLAGS")
        lines.extend(flag_lines(items, news.changed, self.view.recent))
        self.engine.untagged(*lines)

    # -- lifetime ----------------------------------------------------------------------------------------------------

    async def run(self, command: Coroutine[Any, Any, None]) -> None:
        """Run a handler; refusals of the store become NO."""
        try:
            await command
        except StoreError as error:
            code, text = REFUSALS[error.reason]
            if error.reason in (Reason.WRITE_FAILED, Reason.UNAVAILABLE, Reason.FENCED):
                self.note(error)
            self.refuse(str(error) if error.reason is Reason.INVALID and str(error) != error.reason else text, code)
        except LostCount:
            self.refuse("The mailbox was changed too much")
        except NoSuchMessage:
            self.engine.answer(Status.BAD, "No such message")
        if self.dismissed:
            self.engine.bye(self.dismissed)

    def note(self, error: StoreError, **fields: object) -> None:
        """For the log: what the store cannot do. Of what it cannot read it knows why, anything else has a stack."""
        if error.reason is Reason.UNAVAILABLE:
            who = self.user_or_none.account if self.user_or_none else ""
            self.deps.events.emit("store.unavailable", account=who, reason=str(error), **fields)
        else:
            self.deps.events.emit("server.failure", listener="imap", exc_info=error, **fields)

    def dismiss(self, text: str) -> None:
        """End the session: at once, or after the command under way."""
        self.dismissed = text
        if not self.engine.busy:
            self.engine.bye(text)
            self.link.wake()

    def still_welcome(self) -> bool:
        """False when the user's Mailbox was taken away after the login."""
        user = self.user_or_none
        if user is None:
            return True
        found = self.deps.directory().mailbox(user.mailbox.address)
        if found is None or found.namespace != user.mailbox.namespace:
            return False
        if found is not user.mailbox:
            self.log_in(found)  # its quota may be another now
        return True

    def log_in(self, mailbox: Mailbox) -> None:
        """This is who we speak with."""
        account = account_of(mailbox.namespace, mailbox.address)
        allowed = allowance(self.deps.directory(), mailbox)
        actions = Actions(self.deps.store.writer, account, allowed)
        self.user_or_none = User(mailbox, account, actions, Contents(self.deps.store, account))

    def select(self, view: View | None) -> None:
        """A mailbox is selected now, or none is."""
        self.view_or_none = view
        self.engine.select(selected=view is not None)

    def drop_append(self) -> None:
        """Forget what an APPEND has brought so far."""
        for arriving in self.arriving:
            arriving.spool.close()
        self.arriving.clear()
        self.target = None

    def start_idle(self) -> None:
        """Tell news as it comes until stop_idle."""
        self._idling = asyncio.get_running_loop().create_task(self._idle())

    async def stop_idle(self) -> None:
        """The client said DONE."""
        task, self._idling = self._idling, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def lost(self) -> None:
        """The connection is over."""
        self.drop_append()
        if self._idling is not None:
            self._idling.cancel()
            self._idling = None

    async def _idle(self) -> None:
        if self.view_or_none is None:
            return
        watch = self.deps.store.feed.watch(self.user.account)
        hint: asyncio.Future[None] | None = None
        try:
            while True:
                await self.tell()
                if await self.deps.store.reader.mailbox(self.user.account, self.view.mailbox.id) is None:
                    self.dismiss("The selected mailbox was deleted")
                    return
                if hint is None or hint.done():
                    hint = asyncio.ensure_future(anext(watch))
                await asyncio.wait([hint], timeout=IDLE_LOOK)
        except ConnectionError:
            return
        except Exception:
            self.deps.events.emit("server.failure", listener="imap", ip=self.link.ip, exc_info=True)
            self.dismiss("Internal error")
        finally:
            if hint is not None:
                hint.cancel()
