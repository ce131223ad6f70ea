"""An IMAP server on loopback with a real store, and clients of other people."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import imapclient
import pytest
import pytest_asyncio

from postrider.accounts.directory import Directory
from postrider.contract.model import Domain, Limits, Mailbox, Server, Snapshot
from postrider.edge.imap import ImapDeps, ImapService
from postrider.edge.listener import Bind, Listener, Surroundings
from postrider.store.open import open_local
from postrider.store.ports import Store
from postrider.store.transactions import Deliver, Intake
from postrider.store.values import Account, Body, account_of

T = TypeVar("T")
NOW = 1_700_000_000.0


class StillClock:
    """Time stands still."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Passwords:
    """Logins by a table."""

    def __init__(self, site: ImapSite) -> None:
        self._site = site
        self.words = {"alice@example.org": "secret", "bob@example.org": "geheim"}

    async def check(self, login: str, password: str, ip: str) -> Mailbox | None:
        await asyncio.sleep(0)
        found = self._site.directory.mailbox(login)
        return found if found is not None and self.words.get(login) == password else None


class ImapSite:
    """Two listeners, a store and a directory that can change."""

    def __init__(self, store: Store, surroundings: Surroundings, tls: ssl.SSLContext, spool: Path) -> None:
        self.store = store
        self.limits = Limits(message_bytes=2 * 1024 * 1024)
        self.directory = self._directory("alice", "bob")
        self.passwords = Passwords(self)
        deps = ImapDeps(
            store=store,
            login=self.passwords,
            directory=lambda: self.directory,
            events=surroundings.events,
            metrics=surroundings.metrics,
            clock=StillClock(),
            spool=spool,
        )
        self.clear = Listener(Bind("127.0.0.1", 0, lambda: tls), ImapService("imap", deps, secure=False), surroundings)
        self.tls = Listener(
            Bind("127.0.0.1", 0, lambda: tls, implicit_tls=True), ImapService("imaps", deps, secure=True), surroundings
        )

    def _directory(self, *names: str, quota: int = 0, domain_quota: int = 0) -> Directory:
        boxes = tuple(Mailbox(address=f"{name}@example.org", quota_bytes=quota) for name in names)
        server = Server(hostname="mail.example.org", limits=self.limits)
        return Directory(
            Snapshot(server, domains=(Domain(name="example.org", quota_bytes=domain_quota),), mailboxes=boxes)
        )

    def declare(self, *names: str, **quotas: int) -> None:
        """These mailboxes exist from now on."""
        self.directory = self._directory(*names, **quotas)

    async def deliver(self, message: bytes, prefix: bytes = b"") -> None:
        """A message comes in for alice; nothing is cached about it."""
        body = Body(hashlib.sha256(message).digest(), len(message), message)
        await self.store.writer.commit(
            Intake(body, "x@example.net", int(NOW), b"", deliver=(Deliver(self.alice, prefix),))
        )

    @property
    def alice(self) -> Account:
        return account_of("default", "alice@example.org")


@pytest_asyncio.fixture
async def site(
    tmp_path: Path, make_surroundings: Callable[..., Surroundings], server_tls: ssl.SSLContext
) -> AsyncIterator[ImapSite]:
    store = open_local(tmp_path / "data")
    found = ImapSite(store, make_surroundings(), server_tls, tmp_path)
    await found.clear.start()
    await found.tls.start()
    yield found
    await found.clear.drain(1)
    await found.tls.drain(1)
    await store.close()


class Wire:
    """A client that says exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._tags = 0

    async def line(self) -> bytes:
        return await asyncio.wait_for(self.reader.readline(), 30)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, start: bytes) -> list[bytes]:
        """Lines up to one that begins with `start`, or the end."""
        lines = []
        while line := await self.line():
            lines.append(line)
            if line.startswith(start):
                break
        return lines

    async def ask(self, command: str) -> list[bytes]:
        """Send a command; all lines of the answer."""
        self._tags += 1
        tag = f"t{self._tags}"
        await self.say(f"{tag} {command}\r\n".encode())
        return await self.until(tag.encode())

    async def append(self, message: bytes, mailbox: str = "INBOX", flags: str = "") -> list[bytes]:
        options = f"({flags}) " if flags else ""
        self._tags += 1
        tag = f"t{self._tags}"
        await self.say(f"{tag} APPEND {mailbox} {options}{{{len(message)}+}}\r\n".encode() + message + b"\r\n")
        return await self.until(tag.encode())


@pytest.fixture
def connect(site: ImapSite, client_tls: ssl.SSLContext) -> Callable[..., Any]:
    """A logged-in Wire over TLS."""

    @contextlib.asynccontextmanager
    async def opened(login: str = "alice@example.org", password: str = "secret") -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection(
            *site.tls.address, ssl=client_tls, server_hostname="127.0.0.1", limit=1 << 24
        )
        wire = Wire(reader, writer)
        try:
            assert (await wire.line()).startswith(b"* OK [CAPABILITY IMAP4rev1")
            if login:
                assert b" OK " in (await wire.ask(f"LOGIN {login} {password}"))[-1]
            yield wire
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return opened


@pytest.fixture
def with_client(site: ImapSite, client_tls: ssl.SSLContext) -> Callable[..., Awaitable[Any]]:
    """Run a function with an IMAPClient in a thread."""

    async def run(work: Callable[[imapclient.IMAPClient], T], *, login: bool = True) -> T:
        def inside() -> T:
            host, port = site.tls.address
            client = imapclient.IMAPClient(host, port, ssl=True, ssl_context=client_tls, timeout=60)
            try:
                if login:
                    client.login("alice@example.org", "secret")
                return work(client)
            finally:
                client.shutdown()

        return await asyncio.to_thread(inside)

    return run
