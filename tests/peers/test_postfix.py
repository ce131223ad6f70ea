"""Postfix sends to us and we send to it."""

import smtplib
import time

import msgspec
import pytest
from letters import fields, letter

from bench.postfix import DOMAIN, Postfix
from postrider.contract.model import QueuePolicy, Relay


@pytest.fixture
def peer(server, postfix_root):
    one = f"[127.0.0.1]:{server.place('smtp')[1]}"
    peer = Postfix(postfix_root, transports=(("one.test", one),)).start()
    yield peer
    peer.stop()


def eventually(probe, seconds=60):
    end = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
    return found


def test_postfix_delivers_to_us(server, peer):
    with smtplib.SMTP("127.0.0.1", peer.port, timeout=20) as client:
        client.send_message(letter("a@elsewhere.test", "bob@one.test"))
    (message,) = server.messages("bob@one.test")
    assert message.endswith(b"Good morning.\r\n")
    assert b"ESMTPS" in fields(message, "Received")[0], "Postfix uses our STARTTLS"


def test_we_deliver_to_postfix(server, peer):
    relay = Relay(host="127.0.0.1", port=peer.port, tls="none")
    queue = QueuePolicy(first_retry=1, max_retry=2)
    server.change(server=msgspec.structs.replace(server.snapshot.server, relay=relay, queue=queue))
    with server.submission("alice@one.test") as client:
        for number in range(10):
            client.send_message(letter("alice@one.test", f"box{number}@{DOMAIN}"))
    eventually(lambda: len(list((peer.maildir / "new").glob("*"))) == 10)
    message = next((peer.maildir / "new").iterdir()).read_bytes()
    assert b"DKIM-Signature:" in message
    counters = eventually(lambda: (c := server.counters())["queued"] == 0 and c)
    assert counters["delivered"] == 10
