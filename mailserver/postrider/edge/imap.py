"""IMAP for the driver: each event to its handler, and good-bye to those whose mailbox was taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from postrider.edge import imap_append, imap_fetch, imap_folders, imap_messages
from postrider.edge.driver import Connection
from postrider.edge.imap_session import ImapDeps, ImapSession, LoginCheck
from postrider.model.reply import Refused
from postrider.protocols.imap import events as e
from postrider.protocols.imap.conversation import ServerConfig
from postrider.protocols.imap.responses import Status
from postrider.protocols.imap.server import Server

__all__ = ["ImapDeps", "ImapService", "LoginCheck"]

#: Seconds between looks at whether the directory has changed.
SWEEP_SECONDS = 1.0


class Handler(Protocol):
    """Answers one kind of event."""

    def __call__(self, session: ImapSession, event: Any, /) -> Coroutine[Any, Any, None]:
        """Decide and answer the engine."""
        ...


async def _login(session: ImapSession, event: e.Credentials) -> None:
    deps, link = session.deps, session.link
    try:
        mailbox = await deps.login.check(event.login, event.password, link.ip)
    except Refused as refused:  # too many tries at this moment (RFC 5530 §3)
        deps.metrics.count("postrider_logins_total", protocol="imap", result="deferred")
        session.refuse(refused.reply.text, b"UNAVAILABLE")
        return
    deps.metrics.count("postrider_logins_total", protocol="imap", result="failed" if mailbox is None else "ok")
    if mailbox is None:
        deps.events.emit("login.failed", protocol="imap", login=event.login[:320], ip=link.ip)
    else:
        session.log_in(mailbox)
        deps.events.emit(
            "imap.login", account=session.user.account, ip=link.ip, mechanism=event.mechanism, tls=link.tls
        )
    session.engine.login(accepted=mailbox is not None)


async def _noop(session: ImapSession, _: e.Noop) -> None:
    view = session.view_or_none
    if view is not None and await session.deps.store.reader.mailbox(session.user.account, view.mailbox.id) is None:
        session.engine.bye("The selected mailbox was deleted")
        return
    await session.finish()


async def _idle_done(session: ImapSession, _: e.IdleDone) -> None:
    await session.stop_idle()
    await session.finish()


def _on_messages(handler: Handler) -> Handler:
    """A handler of commands that name messages: it finds the view filled."""

    async def run(session: ImapSession, event: Any) -> None:
        await session.fill()
        await handler(session, event)

    return run


#: Event -> its handler. Events that are not here need none, or no waiting (_AT_ONCE).
HANDLERS: Mapping[type, Handler] = {
    e.Credentials: _login,
    e.Select: imap_folders.select,
    e.Create: imap_folders.create,
    e.Delete: imap_folders.delete,
    e.Rename: imap_folders.rename,
    e.Subscribe: imap_folders.subscribe,
    e.List: imap_folders.list_folders,
    e.Namespace: imap_folders.namespace,
    e.Status: imap_folders.status,
    e.Close: imap_folders.close,
    e.AppendMessage: imap_append.begin,
    e.AppendChunk: imap_append.chunk,
    e.AppendEnd: imap_append.end,
    e.Noop: _noop,
    e.IdleDone: _idle_done,
    e.Expunge: _on_messages(imap_messages.expunge),
    e.Search: _on_messages(imap_messages.search),
    e.Fetch: _on_messages(imap_fetch.fetch),
    e.Store: _on_messages(imap_messages.store),
    e.Copy: _on_messages(imap_messages.copy),
}
_AT_ONCE: Mapping[type, Callable[[ImapSession], None]] = {
    e.Idle: ImapSession.start_idle,
    e.AppendAborted: ImapSession.drop_append,
}


class _Session:
    """What the driver sees of a session."""

    def __init__(self, service: ImapService, session: ImapSession) -> None:
        self._service = service
        self._session = session

    @property
    def engine(self) -> Server:
        """The engine of this connection."""
        return self._session.engine

    def handle(self, event: object) -> Awaitable[None] | None:
        """Give the event to its handler."""
        session = self._session
        if (at_once := _AT_ONCE.get(type(event))) is not None:
            at_once(session)
            return None
        if not session.still_welcome():
            session.engine.bye("Your mailbox is gone")
            return None
        return session.run(HANDLERS[type(event)](session, event))

    def failed(self) -> None:
        """A handler failed unexpectedly."""
        engine = self._session.engine
        self._session.drop_append()
        if engine.busy:
            engine.answer(Status.NO, "Internal error", b"SERVERBUG")
        else:
            engine.bye("Internal error")

    def lost(self) -> None:
        """The connection is over."""
        self._session.lost()
        self._service.forget(self._session)


class ImapService:
    """Makes sessions; `name` is the listener's ("imap", "imaps"), `secure` when TLS comes first."""

    def __init__(self, name: str, deps: ImapDeps, *, secure: bool, version: str = "") -> None:
        self._name = name
        self._deps = deps
        self._secure = secure
        self._version = version
        self._sessions: set[ImapSession] = set()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The listener's name in metrics and logs."""
        return self._name

    @property
    def busy(self) -> bytes:
        """What a client hears that is one too many."""
        return b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"

    def open(self, link: Connection) -> _Session:
        """A connection stands."""
        server = self._deps.directory().server
        config = ServerConfig(
            hostname=server.hostname,
            secure=self._secure,
            append_limit=server.limits.message_bytes,
            version=self._version,
        )
        session = ImapSession(self._deps, link, Server(config))
        self._sessions.add(session)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        return _Session(self, session)

    def forget(self, session: ImapSession) -> None:
        """A session is over."""
        self._sessions.discard(session)
        user = session.user_or_none
        self._deps.events.emit("imap.disconnect", account=user.account if user else "", ip=session.link.ip)

    async def _sweep(self) -> None:
        """While there are sessions: whoever's Mailbox was taken away is sent away within seconds."""
        seen = self._deps.directory()
        while self._sessions:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._deps.directory()
            if now is seen:
                continue
            seen = now
            for session in tuple(self._sessions):
                if not session.still_welcome():
                    session.dismiss("Your mailbox is gone")
