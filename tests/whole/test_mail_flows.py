"""Mail goes in over submission and comes out over IMAP: here, to another server, and back as a bounce."""

import hashlib
import random
import smtplib
import threading
import time

import dkim
import pytest
from letters import fields, letter
from running import PASSWORD, snapshot
from waiting import wait_until
from workers import Workers

from postrider.contract import dkim as keys


def test_submitted_mail_is_read_over_imap(shared, alice, bob):
    with shared.submission(alice) as client:
        client.send_message(letter(alice, bob))
    (message,) = shared.messages(bob)
    assert message.endswith(b"Good morning.\r\n")
    assert message.startswith(f"Return-Path: <{alice}>\r\n".encode())
    assert len(fields(message, "Received")) == 1
    assert b"with ESMTPSA" in fields(message, "Received")[0]
    assert fields(message, "Message-ID")
    assert fields(message, "Date")


def test_submission_over_implicit_tls(shared, alice, bob):
    with smtplib.SMTP_SSL(*shared.place("submissions"), context=shared.context(), timeout=60) as client:
        client.login(alice, PASSWORD)
        client.send_message(letter(alice, bob))
    assert len(shared.messages(bob)) == 1


@pytest.mark.parametrize(("domain", "algorithm"), [("two.test", "RSA"), ("one.test", "Ed25519")])
def test_signature_is_verified_by_dkimpy(shared, number, domain, algorithm):
    sender, receiver = f"alice{number}@{domain}", f"bob{number}@{domain}"
    (key,) = (key for key in shared.snapshot.keys if key.domain == domain)
    assert key.algorithm == algorithm
    with shared.submission(sender) as client:
        client.send_message(letter(sender, receiver))
    (message,) = shared.messages(receiver)
    txt = {f"e._domainkey.{domain}.".encode(): keys.public_txt(key.pem).encode()}
    assert dkim.verify(message, dnsfunc=lambda name, **_: txt.get(name))
    assert not dkim.verify(message.replace(b"morning", b"evening"), dnsfunc=lambda name, **_: txt.get(name))


def test_idle_tells_of_new_mail(shared, alice, bob):
    with shared.imap(bob) as reader:
        reader.select_folder("INBOX")
        reader.idle()
        with shared.submission(alice) as client:
            client.send_message(letter(alice, bob))
        seen = reader.idle_check(timeout=60)
        reader.idle_done()
    assert (1, b"EXISTS") in seen


def test_alias_and_catch_all(shared):
    with smtplib.SMTP(*shared.place("smtp"), timeout=60) as client:
        client.send_message(letter("x@elsewhere.test", "team@two.test", "to both"))
        client.send_message(letter("x@elsewhere.test", "whoever@two.test", "caught"))
        client.send_message(letter("x@elsewhere.test", "alice0+lists@two.test", "detail"))
    subjects = {user: shared.messages(f"{user}@two.test", count=2) for user in ("alice0", "bob0")}
    subjects = {user: [fields(one, "Subject")[0] for one in messages] for user, messages in subjects.items()}
    assert subjects == {
        "alice0": [b"Subject: to both", b"Subject: detail"],
        "bob0": [b"Subject: to both", b"Subject: caught"],
    }


def test_mail_reaches_a_second_server_by_mx(shared_two, number, alice):
    one, other = shared_two
    with one.submission(alice) as client:
        client.send_message(letter(alice, f"bob{number}@two.test"))
    (message,) = other.messages(f"bob{number}@two.test")
    assert len(fields(message, "Received")) == 2
    assert fields(message, "DKIM-Signature")
    assert message.endswith(b"Good morning.\r\n")


def test_unknown_recipient_elsewhere_comes_back_as_a_bounce(shared_two, alice):
    one, _ = shared_two
    before = one.counters()
    with one.submission(alice) as client:
        client.send_message(letter(alice, "nobody@two.test", "lost"))
    (bounce,) = one.messages(alice)
    assert bounce.startswith(b"Return-Path: <>\r\n")
    assert b"multipart/report" in bounce
    assert b"nobody@two.test" in bounce
    assert b"5.1.1" in bounce
    counters = one.counters()
    assert counters["bounced"] == before["bounced"] + 1
    accepted = counters.pop("accepted")
    assert accepted == sum(counters.values()) == before["accepted"] + 2


def test_mail_waits_while_the_other_server_is_down(shared_two, number, alice):
    one, other = shared_two
    recipient = f"bob{number}@two.test"
    assert other.terminate() == 0
    with one.submission(alice) as client:
        client.send_message(letter(alice, recipient))
    wait_until(lambda: recipient in [event["recipient"] for event in one.events("queue.deferred")])
    assert one.counters()["queued"] >= 1
    other.start()
    assert len(other.messages(recipient)) == 1
    wait_until(lambda: one.counters()["queued"] == 0)


def submit_many(server, alice, recipients, batch, sent):
    number, count, sizes = batch
    chance = random.Random(number)
    with server.submission(alice) as client:
        for n in range(count):
            body = chance.randbytes(chance.randint(*sizes) // 2).hex()
            text = "\r\n".join(body[i : i + 76] for i in range(0, len(body), 76)) + "\r\n"
            name = f"{number}-{n}"
            to = chance.choice(recipients)
            head = f"From: {alice}\r\nTo: {to}\r\nSubject: {name}\r\nX-Name: {name}\r\n\r\n"
            client.sendmail(alice, [to], head + text)
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


def assert_each_once(server, recipients, sent, verify_every):
    """Every message of `sent` lies once in its recipient's mailbox, byte-identical below its header, and verifies."""
    txt = {f"e._domainkey.{key.domain}.".encode(): keys.public_txt(key.pem).encode() for key in server.snapshot.keys}
    found = {}
    for address in recipients:
        wanted = sum(to == address for to, _ in sent.values())
        for message in server.messages(address, count=wanted) if wanted else []:
            name = fields(message, "X-Name")[0].split()[1].decode()
            assert name not in found, f"{name} is stored twice"
            body = message.partition(b"\r\n\r\n")[2]
            found[name] = (address, hashlib.sha256(body).hexdigest())
            if len(found) % verify_every == 0:
                assert dkim.verify(message, dnsfunc=lambda n, **_: txt.get(n)), name
    assert found == sent


def test_every_mail_is_stored_once_and_unchanged(shared, alice, number):
    send_many(shared, alice, number, (5, 10, (1_000, 100_000)), 5)


@pytest.mark.crash
def test_every_mail_of_many_large_ones_is_stored_once_and_unchanged(make_server, ca):
    server = make_server(snapshot(ca, domains=("one.test", "two.test"), users=("alice1", "bob1")))
    send_many(server, "alice1@one.test", 1, (20, 50, (1_000, 1_000_000)), 1)


def send_many(server, alice, number, load, verify_every):
    connections, each, sizes = load
    recipients = (f"bob{number}@one.test", f"bob{number}@two.test")
    sent = {}
    finished = threading.Event()
    senders, watchers = Workers(), Workers()
    for address in recipients:
        watchers.run(idle_until_seen, server, address, sent, finished)
    for sender in range(connections):
        senders.run(submit_many, server, alice, recipients, (sender, each, sizes), sent)
    senders.join(300)
    finished.set()
    watchers.join(300)
    assert len(sent) == connections * each
    assert_each_once(server, recipients, sent, verify_every)
