"""Values to put into a store, and a clock that stands still until it is told to go on."""

import hashlib

from postrider.store import transactions as t
from postrider.store.keyring import Masters
from postrider.store.values import Body, account_of

ALICE = account_of("mail", "alice@a.test")
BOB = account_of("mail", "bob@a.test")
INBOX = 1
EVERY_LANE = tuple(range(256))
MASTERS = Masters("2026a", {"2026a": bytes(range(32))})
NOON = 1_800_000_000


class StillClock:
    """Time that passes only when a test says so."""

    def __init__(self, now=NOON):
        self.seconds = now

    def now(self):
        return float(self.seconds)

    def monotonic(self):
        return float(self.seconds)


def body_of(data=b"Subject: hello\r\n\r\nGood morning.\r\n"):
    return Body(hashlib.sha256(data).digest(), len(data), data)


def intake(*accounts, data=b"Subject: hello\r\n\r\nGood morning.\r\n", **fields):
    """An Intake that delivers to these accounts."""
    deliver = tuple(t.Deliver(account, b"Return-Path: <>\r\n") for account in accounts)
    given = {"sender": "carol@b.test", "received": NOON, "cached": b"cached", "deliver": deliver} | fields
    return t.Intake(body_of(data), **given)


def enqueue(recipient="dave@c.test", due=NOON, **fields):
    given = {"destination": recipient.rpartition("@")[2], "recipient": recipient, "prefix": b"Received: here\r\n"}
    return t.Enqueue(due=due, **(given | fields))


def append(mailbox_id=INBOX, *bodies, account=ALICE, **fields):
    messages = tuple(t.NewMessage(body_of(data), NOON, b"", **fields) for data in bodies or (b"a\r\n\r\nb",))
    return t.Append(account, mailbox_id, messages)


def balanced(counters):
    """Whether every accepted delivery is accounted for."""
    return counters["accepted"] == sum(counters[name] for name in t.COUNTERS[1:])
