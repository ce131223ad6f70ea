"""An ingest over a real store in a temporary directory, with a directory of three mailboxes and some aliases."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from steady import Dice, Time

from postrider.accounts.directory import Directory
from postrider.contract import dkim
from postrider.contract import model as c
from postrider.ingest.pipeline import Ingest
from postrider.ingest.ports import Ports
from postrider.model.address import parse_address
from postrider.model.envelope import Envelope, Notify, Peer, Recipient, Source
from postrider.model.reply import Reply
from postrider.store.open import open_local
from postrider.store.ports import Store
from postrider.store.values import MessageRow, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

EnvelopeMaker = Callable[..., Envelope]


@pytest.fixture(scope="session")
def keys() -> tuple[c.DkimKey, ...]:
    return (
        c.DkimKey(domain="one.test", selector="r", algorithm="RSA", pem=dkim.generate("RSA")),
        c.DkimKey(domain="one.test", selector="e", algorithm="Ed25519", pem=dkim.generate("Ed25519")),
    )


@pytest.fixture
def snapshot(keys: tuple[c.DkimKey, ...]) -> c.Snapshot:
    return c.Snapshot(
        server=c.Server(hostname="mx.one.test", limits=c.Limits(received_fields=5, message_bytes=2_000_000)),
        generation=1,
        domains=(c.Domain(name="one.test", selectors=("r", "e")), c.Domain(name="two.test")),
        mailboxes=(
            c.Mailbox(address="alice@one.test"),
            c.Mailbox(address="bob@two.test"),
            c.Mailbox(address="small@one.test", quota_bytes=1000),
        ),
        aliases=(
            c.Alias(address="team@one.test", targets=("alice@one.test", "bob@two.test", "carol@far.test")),
            c.Alias(address="nested@one.test", targets=("team@one.test", "alice+x@one.test")),
            c.Alias(address="a@one.test", targets=("b@one.test",)),
            c.Alias(address="b@one.test", targets=("a@one.test",)),
            c.Alias(address="half@one.test", targets=("bob@two.test", "a@one.test")),
            c.Alias(address="*@two.test", targets=("bob@two.test",)),
        ),
        keys=keys,
    )


def make_envelope(
    *recipients: str, sender: str = "x@far.test", source: Source = Source.MX, notify: Notify = Notify.DEFAULT
) -> Envelope:
    """An envelope as the SMTP edge hands it over."""
    peer = Peer("192.0.2.7", 40000, helo="mail.far.test", tls="TLSv1.3 TLS_AES_256_GCM_SHA384", protocol="ESMTPS")
    if source is Source.SUBMISSION:
        peer = Peer(
            "2001:db8::7", 40000, helo="laptop", protocol="ESMTPSA", account="default/alice@one.test",
            login="alice@one.test",
        )  # fmt: skip
    return Envelope(
        parse_address(sender) if sender else None,
        tuple(Recipient(parse_address(one), notify) for one in recipients),
        peer=peer,
    )


@dataclass
class Site:
    """Everything a test looks at."""

    ingest: Ingest
    store: Store
    spool: Path
    ports: Ports
    log: io.StringIO = field(default_factory=io.StringIO)

    async def take(self, data: bytes, to: Envelope, source: Source = Source.MX, chunk: int = 1 << 16) -> Reply:
        spool = self.ingest.begin(source)
        for start in range(0, len(data), chunk):
            await spool.write(data[start : start + chunk])
        reply = await self.ingest.finish(spool, source, to)
        assert not list(self.spool.iterdir()), "the spool file is gone when the message is done with"
        return reply

    async def inbox(self, address: str) -> Sequence[MessageRow]:
        account = account_of("default", address)
        (inbox,) = [one for one in await self.store.reader.mailboxes(account) if one.name == "INBOX"]
        uids = [row.uid for row in await self.store.reader.flags(account, inbox.id)]
        return await self.store.reader.messages(account, inbox.id, uids)

    async def mail(self, address: str) -> list[bytes]:
        """The messages in an INBOX, whole."""
        account = account_of("default", address)
        return [row.prefix + await self.store.reader.body(account, row.blob) for row in await self.inbox(address)]

    async def conserved(self) -> dict[str, int]:
        """The counters; nothing accepted may be missing in them, and the queue is as long as they say."""
        counters = dict(await self.store.reader.counters())
        assert counters["accepted"] == sum(counters.values()) - counters["accepted"], counters
        assert counters["queued"] == len(await self.store.reader.queue(limit=10_000))
        return counters


@pytest.fixture
async def site(tmp_path: Path, snapshot: c.Snapshot) -> AsyncIterator[Site]:
    spool = tmp_path / "spool"
    spool.mkdir()
    store = open_local(tmp_path / "store")
    log = io.StringIO()
    directory = Directory(snapshot)
    ports = Ports(
        store=store,
        directory=lambda: directory,
        clock=Time(),
        random=Dice(),
        events=Events(log),
        metrics=Metrics(),
        spool=spool,
    )
    yield Site(Ingest(ports), store, spool, ports, log)
    counters = dict(await store.reader.counters())
    assert counters["accepted"] == sum(counters.values()) - counters["accepted"], counters
    assert counters["queued"] == len(await store.reader.queue(limit=10_000))
    await store.close()


@pytest.fixture
def envelope() -> EnvelopeMaker:
    return make_envelope
