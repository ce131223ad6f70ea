"""SMTP over real sockets into a real store: what strangers and users may do on each listener."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from postrider.accounts.directory import Directory
from postrider.accounts.login import Login
from postrider.accounts.room import Room
from postrider.contract import model as c
from postrider.contract import passwords
from postrider.edge.listener import Bind, Listener, Surroundings
from postrider.edge.smtp import KINDS, SmtpDeps, SmtpService
from postrider.ingest.pipeline import Ingest
from postrider.ingest.ports import Ports
from postrider.net.system import SystemClock, SystemRandom
from postrider.store.open import memory
from postrider.store.ports import Store
from postrider.store.values import account_of

PASSWORD = "correct horse"
LIMIT = 300_000


@dataclass
class Mailserver:
    """Three listeners over one store; `snapshot` may be exchanged at any time."""

    snapshot: c.Snapshot
    store: Store
    listeners: dict[str, Listener] = field(default_factory=dict)
    vanished: set[str] = field(default_factory=set)

    def directory(self) -> Directory:
        return self.directories.setdefault(id(self.snapshot), Directory(self.snapshot))

    directories: dict[int, Directory] = field(default_factory=dict)

    async def recently(self, address: str) -> bool:
        await asyncio.sleep(0)
        return address in self.vanished

    async def raw(self, name: str) -> Talk:
        talk = Talk(*await asyncio.open_connection(*self.listeners[name].address))
        assert (await talk.reply()).startswith("220 ")
        return talk

    async def client(self, name: str, tls: ssl.SSLContext, *, login: bool = True) -> aiosmtplib.SMTP:
        host, port = self.listeners[name].address
        client = aiosmtplib.SMTP(
            hostname=host, port=port, tls_context=tls, use_tls=name == "submissions", start_tls=name == "submission"
        )
        await client.connect()
        if login:
            await client.login("alice@one.test", PASSWORD)
        return client

    async def mails(self, address: str = "alice@one.test") -> list[bytes]:
        account = account_of("default", address)
        found: list[bytes] = []
        for mailbox in await self.store.reader.mailboxes(account):
            flags = await self.store.reader.flags(account, mailbox.id)
            rows = await self.store.reader.messages(account, mailbox.id, [flag.uid for flag in flags])
            found += [row.prefix + await self.store.reader.body(account, row.blob) for row in rows]
        return found


@dataclass
class Talk:
    """A client that says exactly what it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        lines = []
        async with asyncio.timeout(30):
            while True:
                line = (await self.reader.readline()).decode()
                lines.append(line)
                if line[3:4] != "-":
                    return "".join(lines)

    async def say(self, text: str | bytes) -> str:
        self.writer.write((text.encode() if isinstance(text, str) else text) + b"\r\n")
        return await self.reply()

    async def start_tls(self, tls: ssl.SSLContext) -> None:
        assert (await self.say("STARTTLS")).startswith("220")
        await self.writer.start_tls(tls, server_hostname="localhost")


@pytest.fixture
async def server(
    tmp_path: Path, make_surroundings: Callable[..., Surroundings], server_tls: ssl.SSLContext
) -> AsyncIterator[Mailserver]:
    verifiers = passwords.make(PASSWORD, generated=True, token=SystemRandom().token)
    snapshot = c.Snapshot(
        server=c.Server(hostname="mx.one.test", limits=c.Limits(message_bytes=LIMIT, recipients_per_message=3)),
        domains=(c.Domain(name="one.test"),),
        mailboxes=(
            c.Mailbox(address="alice@one.test", verifiers=verifiers),
            c.Mailbox(address="bob@one.test", verifiers=verifiers),
        ),
        aliases=(c.Alias(address="team@one.test", targets=("alice@one.test", "bob@one.test")),),
    )
    server = Mailserver(snapshot, memory())
    surroundings = make_surroundings()
    clock, random = SystemClock(), SystemRandom()
    login = Login(server.directory, clock, random)
    ports = Ports(
        store=server.store,
        directory=server.directory,
        clock=clock,
        random=random,
        events=surroundings.events,
        metrics=surroundings.metrics,
        spool=tmp_path,
    )
    deps = SmtpDeps(
        ingest=Ingest(ports),
        directory=server.directory,
        login=login,
        recently=server.recently,
        room=Room(server.store.reader, clock),
        events=surroundings.events,
        metrics=surroundings.metrics,
    )
    for name, kind in KINDS.items():
        bind = Bind("127.0.0.1", 0, lambda: server_tls, implicit_tls=kind.secured)
        server.listeners[name] = Listener(bind, SmtpService(name, deps), surroundings)
        await server.listeners[name].start()
    yield server
    for listener in server.listeners.values():
        await listener.drain(1)
    login.close()
    await server.store.close()


def letter(size: int = 0) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "alice@one.test"
    message["To"] = "bob@one.test"
    message["Subject"] = "hello"
    message.set_content("hi\n.\n..\n" + "0123456789\n" * (size // 11))
    return message


async def test_mail_from_the_world_is_stored(server: Mailserver) -> None:
    talk = await server.raw("smtp")
    assert "250-STARTTLS" in await talk.say("EHLO far.test")
    await talk.say("MAIL FROM:<x@far.test>")
    await talk.say("RCPT TO:<team@one.test>")
    await talk.say("DATA")
    assert (await talk.say("Subject: x\r\n\r\n..text\r\n.")).startswith("250 2.0.0 ")
    for address in ("alice@one.test", "bob@one.test"):
        (mail,) = await server.mails(address)
        assert mail.endswith(b"\r\n\r\n.text\r\n")
        assert mail.startswith(b"Return-Path: <x@far.test>\r\nReceived: from far.test ([127.0.0.1])")
        assert b"with ESMTP\r\n" in mail


@pytest.mark.parametrize("name", ["submission", "submissions"])
async def test_a_user_submits_over_tls(server: Mailserver, client_tls: ssl.SSLContext, name: str) -> None:
    client = await server.client(name, client_tls)
    await client.send_message(letter())
    await client.quit()
    (mail,) = await server.mails("bob@one.test")
    assert b"with ESMTPSA (TLSv1.3 TLS_" in mail
    assert b"\r\nhi\r\n.\r\n..\r\n" in mail
    assert b"\r\nDate: " in mail


async def test_the_standard_library_can_send(server: Mailserver, client_tls: ssl.SSLContext) -> None:
    def send() -> None:
        host, port = server.listeners["submission"].address
        with smtplib.SMTP(host, port, timeout=60) as client:
            client.starttls(context=client_tls)
            client.login("alice@one.test", PASSWORD)
            assert client.send_message(letter(50_000)) == {}

    await asyncio.to_thread(send)
    assert len(await server.mails("bob@one.test")) == 1


async def test_a_large_message_goes_through_the_spool(
    server: Mailserver, client_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    client = await server.client("submission", client_tls)
    message = letter(LIMIT - 40_000)
    await client.send_message(message)
    (mail,) = await server.mails("bob@one.test")
    assert mail.count(b"0123456789") == (LIMIT - 40_000) // 11
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(aiosmtplib.SMTPSenderRefused) as refused:
        await client.send_message(letter(LIMIT * 2))
    assert refused.value.code == 552
    await client.quit()


async def test_more_than_it_said_is_refused_at_the_end_and_nothing_stays(server: Mailserver, tmp_path: Path) -> None:
    talk = await server.raw("smtp")
    await talk.say("HELO far.test")
    await talk.say("MAIL FROM:<x@far.test> SIZE=10")
    await talk.say("RCPT TO:<alice@one.test>")
    await talk.say("DATA")
    assert (await talk.say(b"0123456789\r\n" * 40_000 + b".")).startswith("552 5.3.4 ")
    assert (await talk.say("NOOP")).startswith("250")
    assert await server.mails() == []
    assert list(tmp_path.iterdir()) == []


async def test_a_connection_lost_in_data_leaves_nothing(server: Mailserver, tmp_path: Path) -> None:
    talk = await server.raw("smtp")
    await talk.say("HELO far.test")
    await talk.say("MAIL FROM:<x@far.test>")
    await talk.say("RCPT TO:<alice@one.test>")
    await talk.say("DATA")
    talk.writer.write(b"0123456789\r\n" * 24_000)
    await talk.writer.drain()
    await asyncio.sleep(0.05)
    talk.writer.transport.abort()
    async with asyncio.timeout(30):
        while await server.mails() or list(tmp_path.iterdir()):
            await asyncio.sleep(0.01)
    assert await server.mails() == []


@pytest.mark.parametrize("name", KINDS)
async def test_nobody_relays_without_a_login(server: Mailserver, client_tls: ssl.SSLContext, name: str) -> None:
    client = await server.client(name, client_tls, login=False)
    await client.ehlo()
    sender = await _code(client.mail("alice@one.test"))
    recipient = await _code(client.rcpt("someone@elsewhere.test"))
    if name == "smtp":
        assert (sender, recipient) == (250, "550 5.7.1 Relay access denied")
    else:
        assert sender == "530 5.7.0 Authentication required"
        assert str(recipient).startswith("503 ")
    assert str(await _code(client.data(b"x"))).startswith("55" if name == "smtp" else "503")
    client.close()
    assert await server.mails() == []


async def _code(command: object) -> int | str:
    try:
        return (await command).code  # type: ignore[misc]
    except aiosmtplib.SMTPResponseException as error:
        return f"{error.code} {error.message}"


@pytest.mark.parametrize("name", ["smtp", "submission"])
async def test_no_login_in_clear(server: Mailserver, name: str) -> None:
    talk = await server.raw(name)
    assert "AUTH" not in await talk.say("EHLO me.test")
    token = base64.b64encode(f"\0alice@one.test\0{PASSWORD}".encode()).decode()
    assert (await talk.say(f"AUTH PLAIN {token}")).startswith("538 " if name == "submission" else "502 ")
    assert (await talk.say("MAIL FROM:<alice@one.test>")).startswith("530 " if name == "submission" else "250 ")


async def test_unknown_addresses_are_refused_at_rcpt(server: Mailserver) -> None:
    talk = await server.raw("smtp")
    await talk.say("EHLO far.test")
    await talk.say("MAIL FROM:<>")
    assert await talk.say("RCPT TO:<nobody@one.test>") == "550 5.1.1 No such mailbox here\r\n"
    server.vanished.add("carol@one.test")
    assert (await talk.say("RCPT TO:<Carol@ONE.test>")).startswith("450 4.1.1 ")
    assert (await talk.say("RCPT TO:<alice+news@one.test>")).startswith("250 2.1.5 ")
    assert (await talk.say("RCPT TO:<postmaster>")).startswith("250 2.1.5 ")
    assert (await talk.say("RCPT TO:<bob@one.test>")).startswith("250 2.1.5 ")
    assert (await talk.say("RCPT TO:<alice@one.test>")).startswith("452 4.5.3 ")


async def test_the_world_has_underscores_in_its_names(server: Mailserver) -> None:
    talk = await server.raw("smtp")
    await talk.say("EHLO my_host.test")
    assert (await talk.say("MAIL FROM:<root@my_host.test>")).startswith("250 ")
    assert (await talk.say("RCPT TO:<bob@one.test>")).startswith("250 ")
    assert (await talk.say("RCPT TO:<bob@one_.test>")).startswith("550 5.7.1 ")


async def test_users_send_with_their_own_addresses(server: Mailserver, client_tls: ssl.SSLContext) -> None:
    client = await server.client("submissions", client_tls)
    assert await _code(client.mail("bob@one.test")) == "550 5.7.1 You may not send as bob@one.test"
    assert await _code(client.mail("ceo@elsewhere.test")) == "550 5.7.1 You may not send as ceo@elsewhere.test"
    for own in ("Alice@One.Test", "alice+lists@one.test", "team@one.test", ""):
        assert await _code(client.mail(own)) == 250
        await client.rset()
    await client.mail("alice@one.test")
    assert await _code(client.rcpt("someone@elsewhere.test")) == 250
    assert str(await _code(client.rcpt("nobody@one.test"))).startswith("550 5.1.1")
    await client.quit()


async def test_a_wrong_password_and_a_deleted_mailbox(server: Mailserver, client_tls: ssl.SSLContext) -> None:
    client = await server.client("submissions", client_tls, login=False)
    await client.ehlo()
    with pytest.raises(aiosmtplib.SMTPAuthenticationError) as wrong:
        await client.auth_plain("alice@one.test", "guess")
    assert wrong.value.code == 535
    await client.login("alice@one.test", PASSWORD)
    server.snapshot = c.Snapshot(server=server.snapshot.server, domains=server.snapshot.domains)
    assert str(await _code(client.mail("alice@one.test"))).startswith("550 5.7.1 Your mailbox")
    late = await server.client("submissions", client_tls, login=False)
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await late.login("alice@one.test", PASSWORD)
    client.close()
    late.close()


async def test_commands_slipped_in_before_starttls_are_never_seen(
    server: Mailserver, client_tls: ssl.SSLContext
) -> None:
    talk = await server.raw("smtp")
    await talk.say("EHLO me.test")
    talk.writer.write(
        b"STARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@far.test>\r\nRCPT TO:<alice@one.test>\r\nDATA\r\n"
    )
    assert (await talk.reply()).startswith("220 ")
    await talk.writer.start_tls(client_tls, server_hostname="localhost")
    assert await talk.say("RCPT TO:<alice@one.test>") == "503 5.5.1 Bad sequence of commands\r\n"
    await talk.say("EHLO me.test")
    await talk.say("MAIL FROM:<me@far.test>")
    await talk.say("RCPT TO:<alice@one.test>")
    await talk.say("DATA")
    assert (await talk.say("x: y\r\n\r\n.")).startswith("250 ")
    (mail,) = await server.mails()
    assert b"<me@far.test>" in mail
    assert b"with ESMTPS (TLSv1.3" in mail
    assert b"evil" not in mail


async def test_loops_are_cut(server: Mailserver) -> None:
    talk = await server.raw("smtp")
    await talk.say("EHLO far.test")
    await talk.say("MAIL FROM:<x@far.test>")
    await talk.say("RCPT TO:<alice@one.test>")
    await talk.say("DATA")
    assert (await talk.say("Received: from a by b\r\n" * 101 + "\r\n.")).startswith("554 5.4.6 ")
    assert await server.mails() == []


async def test_a_full_pipeline_in_one_packet(server: Mailserver) -> None:
    talk = await server.raw("smtp")
    one = "MAIL FROM:<x@far.test>\r\nRCPT TO:<alice@one.test>\r\nBDAT 12 LAST\r\nSubject: {}\r\n"
    talk.writer.write(("EHLO far.test\r\n" + "".join(one.format(n) for n in range(9)) + "QUIT\r\n").encode())
    async with asyncio.timeout(30):
        output = (await talk.reader.read()).decode()
    assert output.count("250 2.0.0 OK, queued as") == 9
    assert output.endswith("221 2.0.0 Bye\r\n")
    subjects = sorted(mail[-12:] for mail in await server.mails())
    assert subjects == [b"Subject: %d\r\n" % n for n in range(9)]


async def test_draining_finishes_the_message_under_way(server: Mailserver) -> None:
    idle, sending = await server.raw("smtp"), await server.raw("smtp")
    await sending.say("EHLO far.test")
    await sending.say("MAIL FROM:<x@far.test>")
    await sending.say("RCPT TO:<alice@one.test>")
    await sending.say("DATA")
    draining = asyncio.create_task(server.listeners["smtp"].drain(60))
    assert await idle.reply() == "421 4.3.2 Service is shutting down, try again later\r\n"
    assert (await sending.say("Subject: last\r\n\r\n.")).startswith("250 2.0.0 ")
    assert (await sending.reply()).startswith("421 4.3.2 ")
    await asyncio.wait_for(draining, 30)
    assert len(await server.mails()) == 1


async def test_a_failure_of_ours_is_451_and_the_conversation_goes_on(
    server: Mailserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = await server.raw("smtp")
    await talk.say("EHLO far.test")
    with monkeypatch.context() as broken:
        broken.setattr(server, "directories", None)
        assert await talk.say("MAIL FROM:<x@far.test>") == "451 4.3.0 Local error in processing, try again later\r\n"
    assert (await talk.say("MAIL FROM:<x@far.test>")).startswith("250 ")


async def test_who_does_not_finish_in_time_hears_421(server: Mailserver, client_tls: ssl.SSLContext) -> None:
    talk = await server.raw("smtp")
    await talk.start_tls(client_tls)
    await talk.say("EHLO far.test")
    await talk.say("MAIL FROM:<x@far.test>")
    await asyncio.wait_for(server.listeners["smtp"].drain(0.05), 30)
    assert (await talk.reply()).startswith("421 ")
    assert await talk.reader.read() == b""
