"""How much mail is kept and how long, in a whole server: quotas under many senders, warnings, undelete, legal hold."""

import re
import smtplib
import subprocess
import sys

import msgspec
import pytest
from letters import letter
from running import snapshot
from waiting import wait_until
from workers import Workers

QUOTA = 200_000
SENDERS, EACH, SIZE = 8, 8, 8_000
LINE = "x" * 70 + "\r\n"


def declared(ca, **others):
    """alice, bob and dave; what is said of the mailboxes of the others."""
    found = snapshot(ca, users=("alice", "bob", "dave"))
    boxes = tuple(
        row if row.address.startswith("alice") else msgspec.structs.replace(row, **others) for row in found.mailboxes
    )
    return msgspec.structs.replace(found, mailboxes=boxes)


def command(server, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "postrider", *arguments, "--data", str(server.directory / "data")],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(server, login):
    """Octets of all the account's messages, as a client counts them."""
    with server.imap(login) as client:
        names = [name for _, _, name in client.list_folders()]
        return sum(client.folder_status(name, ["SIZE"])[b"SIZE"] for name in names)


def expunge_all(server, login):
    with server.imap(login) as client:
        client.select_folder("INBOX")
        client.delete_messages(client.search())
        client.expunge()


def emails(server, login):
    """EMAILIDs (RFC 8474) of INBOX."""
    with server.imap(login) as client:
        client.select_folder("INBOX", readonly=True)
        return {row[b"EMAILID"] for row in client.fetch(client.search(), ["EMAILID"]).values()}


def held(server):
    lines = server.get("/metrics", "metrics")[1].splitlines()
    line = next(line for line in lines if line.startswith("postrider_held_accounts "))
    return float(line.split()[-1])


def test_a_quota_is_never_overshot_and_its_user_is_warned(make_server, ca):
    server = make_server(declared(ca, quota_bytes=QUOTA))
    refused = []

    def send(number):
        message = letter("carol@far.test", "alice@one.test, bob@one.test", f"from {number}", LINE * (SIZE // len(LINE)))
        with smtplib.SMTP(*server.place("smtp"), timeout=60) as client:
            for _ in range(EACH):
                refused.extend(client.send_message(message).values())

    workers = Workers()
    for number in range(SENDERS):
        workers.run(send, number)
    workers.join()
    assert len(server.messages("alice@one.test", count=SENDERS * EACH)) == SENDERS * EACH
    used = stored(server, "bob@one.test")
    assert QUOTA - 2 * SIZE < used <= QUOTA
    assert {(code, text[:5]) for code, text in refused} <= {(452, b"4.2.2")}
    counters = server.counters()
    assert counters["delivered"] + counters["queued"] == counters["accepted"]
    # While it took, each of the two may have been warned at 80 and at 95 %.
    assert counters["accepted"] - (2 * SENDERS * EACH - len(refused)) in range(5)
    assert re.search(r" 195\.3 Ki +9\d % ", command(server, "usage", "bob@one.test"))

    # A generation is asked for its quotas at once.
    large = letter("alice@one.test", "dave@one.test", "large", LINE * (QUOTA * 85 // 100 // len(LINE)))
    with smtplib.SMTP(*server.place("smtp"), timeout=60) as client:
        assert client.send_message(large) == {}
        with pytest.raises((smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError), match=r"452, b'4\.2\.2 "):
            client.send_message(large)  # at RCPT, or at its end: a look at RCPT is believed for a second
    server.change()
    texts = server.messages("dave@one.test", count=2)
    assert any(b"Subject: Your mailbox is 8" in text for text in texts)


def test_expunged_mail_comes_back_and_is_kept_under_legal_hold(shared, alice, bob):
    with shared.submission(alice) as client:
        for number in range(3):
            client.send_message(letter(alice, bob, f"number {number}"))
    shared.messages(bob, count=3)
    used, known = stored(shared, bob), emails(shared, bob)
    expunge_all(shared, bob)
    assert stored(shared, bob) == 0
    assert command(shared, "undelete", bob) == "3 messages brought back: 3 in INBOX\n"
    assert stored(shared, bob) == used
    assert emails(shared, bob) == known

    shared.change_mailbox(bob, legal_hold=True, undelete=0)
    wait_until(lambda: held(shared))  # each generation is asked for its holds at once
    expunge_all(shared, bob)
    listed = command(shared, "undelete", bob, "--list").splitlines()
    assert [line.split()[-1] for line in listed] == ["INBOX"] * 3
