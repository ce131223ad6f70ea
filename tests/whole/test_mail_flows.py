"""Mail goes in over submission and comes out over IMAP: here, to another server, and back as a bounce."""

import hashlib
import random
import smtplib
import threading
import time

import dkim
import msgspec
import pytest
from letters import fields, letter
from running import PASSWORD, snapshot
from workers import Workers

from postrider.contract import dkim as keys
from postrider.contract import files
from postrider.contract.model import Alias


def test_submitted_mail_is_read_over_imap(server):
    with server.submission("alice@one.test") as client:
        client.send_message(letter("alice@one.test", "bob@one.test"))
    (message,) = server.messages("bob@one.test")
    assert message.endswith(b"Good morning.\r\n")
    assert message.startswith(b"Return-Path: <alice@one.test>\r\n")
    assert len(fields(message, "Received")) == 1
    assert b"with ESMTPSA" in fields(message, "Received")[0]
    assert fields(message, "Message-ID")
    assert fields(message, "Date")


def test_submission_over_implicit_tls(server):
    with smtplib.SMTP_SSL(*server.place("submissions"), context=server.context(), timeout=20) as client:
        client.login("alice@one.test", PASSWORD)
        client.send_message(letter("alice@one.test", "bob@one.test"))
    assert len(server.messages("bob@one.test")) == 1


@pytest.mark.parametrize("algorithm", ["RSA", "Ed25519"])
def test_signature_is_verified_by_dkimpy(make_server, ca, algorithm):
    declared = snapshot(ca)
    pem = keys.generate(algorithm)
    (key,) = declared.keys
    key = msgspec.structs.replace(key, algorithm=algorithm, pem=pem)
    server = make_server(msgspec.structs.replace(declared, keys=(key,)))
    with server.submission("alice@one.test") as client:
        client.send_message(letter("alice@one.test", "bob@one.test"))
    (message,) = server.messages("bob@one.test")
    txt = {b"e._domainkey.one.test.": keys.public_txt(pem).encode()}
    assert dkim.verify(message, dnsfunc=lambda name, **_: txt.get(name))
    assert not dkim.verify(message.replace(b"morning", b"evening"), dnsfunc=lambda name, **_: txt.get(name))


def test_idle_tells_of_new_mail(server):
    with server.imap("bob@one.test") as reader:
        reader.select_folder("INBOX")
        reader.idle()
        with server.submission("alice@one.test") as client:
            client.send_message(letter("alice@one.test", "bob@one.test"))
        seen = reader.idle_check(timeout=10)
        reader.idle_done()
    assert (1, b"EXISTS") in seen


def test_alias_and_catch_all(make_server, ca):
    aliases = (
        Alias(address="team@one.test", targets=("alice@one.test", "bob@one.test")),
        Alias(address="*@one.test", targets=("bob@one.test",)),
    )
    server = make_server(files.normal(msgspec.structs.replace(snapshot(ca), aliases=aliases)))
    with smtplib.SMTP(*server.place("smtp"), timeout=20) as client:
        client.send_message(letter("x@elsewhere.test", "team@one.test", "to both"))
        client.send_message(letter("x@elsewhere.test", "whoever@one.test", "caught"))
        client.send_message(letter("x@elsewhere.test", "alice+lists@one.test", "detail"))
    assert len(server.messages("alice@one.test", count=2)) == 2
    assert len(server.messages("bob@one.test", count=2)) == 2


def test_mail_reaches_a_second_server_by_mx(two):
    one, other = two
    with one.submission("alice@one.test") as client:
        client.send_message(letter("alice@one.test", "bob@two.test"))
    (message,) = other.messages("bob@two.test", seconds=20)
    assert len(fields(message, "Received")) == 2
    assert fields(message, "DKIM-Signature")
    assert message.endswith(b"Good morning.\r\n")


def test_unknown_recipient_elsewhere_comes_back_as_a_bounce(two):
    one, _ = two
    with one.submission("alice@one.test") as client:
        client.send_message(letter("alice@one.test", "nobody@two.test", "lost"))
    (bounce,) = one.messages("alice@one.test", seconds=20)
    assert bounce.startswith(b"Return-Path: <>\r\n")
    assert b"multipart/report" in bounce
    assert b"nobody@two.test" in bounce
    assert b"5.1.1" in bounce
    counters = one.counters()
    accepted = counters.pop("accepted")
    assert accepted == sum(counters.values())
    assert counters["bounced"] == 1


def test_mail_waits_while_the_other_server_is_down(two):
    one, other = two
    assert other.terminate() == 0
    with one.submission("alice@one.test") as client:
        client.send_message(letter("alice@one.test", "bob@two.test"))
    time.sleep(1)
    assert one.counters()["queued"] == 1
    other.start()
    assert len(other.messages("bob@two.test", seconds=30)) == 1


def submit_many(server, number, count, sizes, sent):
    chance = random.Random(number)
    with server.submission("alice@one.test") as client:
        for n in range(count):
            body = chance.randbytes(chance.randint(*sizes) // 2).hex()
            text = "\r\n".join(body[i : i + 76] for i in range(0, len(body), 76)) + "\r\n"
            name = f"{number}-{n}"
            to = chance.choice(["bob@one.test", "bob@two.test"])
            head = f"From: alice@one.test\r\nTo: {to}\r\nSubject: {name}\r\nX-Name: {name}\r\n\r\n"
            client.sendmail("alice@one.test", [to], head + text)
            sent[name] = (to, hashlib.sha256(text.encode()).hexdigest())


def idle_until_seen(server, address, sent, finished):
    """Stay in IDLE on an INBOX until it was told of every message that was sent there."""
    with server.imap(address) as client:
        client.select_folder("INBOX")
        client.idle()
        told, end = 0, time.monotonic() + 300
        while not finished.is_set() or told < sum(to == address for to, _ in list(sent.values())):
            assert time.monotonic() < end, f"{address} was told of {told} messages"
            for update in client.idle_check(timeout=0.2):
                told = max(told, update[0]) if update[1:2] == (b"EXISTS",) else told
        client.idle_done()


def assert_each_once(server, sent, verify_every):
    """Every message of `sent` lies once in bob's mailboxes, byte-identical below its header, and verifies."""
    txt = {f"e._domainkey.{key.domain}.".encode(): keys.public_txt(key.pem).encode() for key in server.snapshot.keys}
    found = {}
    for address in ("bob@one.test", "bob@two.test"):
        wanted = sum(to == address for to, _ in sent.values())
        for message in server.messages(address, count=wanted, seconds=60) if wanted else []:
            name = fields(message, "X-Name")[0].split()[1].decode()
            assert name not in found, f"{name} is stored twice"
            body = message.partition(b"\r\n\r\n")[2]
            found[name] = (address, hashlib.sha256(body).hexdigest())
            if len(found) % verify_every == 0:
                assert dkim.verify(message, dnsfunc=lambda n, **_: txt.get(n)), name
    assert found == sent


@pytest.mark.parametrize(
    ("connections", "each", "sizes", "verify_every"),
    [
        pytest.param(5, 10, (1_000, 100_000), 5, id="few"),
        pytest.param(20, 50, (1_000, 1_000_000), 1, id="all", marks=pytest.mark.crash),
    ],
)
def test_every_mail_is_stored_once_and_unchanged(make_server, ca, connections, each, sizes, verify_every):
    server = make_server(snapshot(ca, domains=("one.test", "two.test")))
    sent = {}
    finished = threading.Event()
    senders, watchers = Workers(), Workers()
    for address in ("bob@one.test", "bob@two.test"):
        watchers.run(idle_until_seen, server, address, sent, finished)
    for number in range(connections):
        senders.run(submit_many, server, number, each, sizes, sent)
    senders.join(300)
    finished.set()
    watchers.join(300)
    assert len(sent) == connections * each
    assert_each_once(server, sent, verify_every)
