"""A server whose bodies are files: Maildirs that other programs read and drop mail into, Python's own as the oracle."""

import contextlib
import itertools
import mailbox
import random
import smtplib
import threading
import time
from collections import Counter

import pytest
from letters import letter
from running import snapshot
from waiting import PATIENCE
from workers import Workers

from postrider.contract.model import Storage

ROUNDS = 10


@pytest.fixture(scope="session")
def always(servers, ca):
    return servers.make(snapshot(ca, users=("anna", "ben", "carl", "dora"), storage=Storage(blobs="maildir")))


def maildir(server, user, folder=""):
    return server.directory / "data" / "maildir" / "one.test" / user / folder


def shown(server, user, folder=""):
    """What Python's reader of Maildirs finds: subject -> (subdirectory, flags)."""
    path = maildir(server, user, folder)
    if not (path / "cur").is_dir():
        return None
    found = {}
    box = mailbox.Maildir(path, create=False)
    try:
        for key in box.keys():  # noqa: SIM118 -- a mailbox is no dict
            message = box[key]
            found[message["Subject"]] = (message.get_subdir(), message.get_flags())
    except (KeyError, OSError):  # it was renamed meanwhile
        return None
    return found


def wait(look, wanted, seconds=PATIENCE):
    """The keeper gives way to everybody: where others need all processors it takes its time."""
    end = time.monotonic() + seconds
    while (found := look()) != wanted:
        assert time.monotonic() < end, found
        time.sleep(0.05)


def send(server, subject, *recipients, text="Hello.\r\n"):
    with smtplib.SMTP(*server.place("smtp"), timeout=60) as client:
        message = letter("carol@far.test", ", ".join(recipients), subject, text)
        assert not client.send_message(message)


def test_what_is_done_over_imap_is_seen_in_the_maildir_and_the_other_way_round(shared):
    send(shared, "first", "anna@one.test", "ben@one.test")
    send(shared, "second", "anna@one.test")
    wait(lambda: shown(shared, "anna"), {"first": ("new", ""), "second": ("new", "")})
    wait(lambda: shown(shared, "ben"), {"first": ("new", "")})
    folders = mailbox.Maildir(maildir(shared, "anna"), create=False).list_folders()
    assert sorted(folders) == ["Archive", "Drafts", "Junk", "Sent", "Trash"]
    with shared.imap("anna@one.test") as client:
        client.select_folder("INBOX")
        first, second = client.search()
        client.add_flags(first, [b"\\Seen", b"\\Flagged", b"$Label1"])
        wait(lambda: shown(shared, "anna"), {"first": ("cur", "FSa"), "second": ("new", "")})
        client.remove_flags(first, [b"\\Flagged"])
        client.create_folder("Arbeit/Übung")
        client.move([second], "Arbeit/Übung")
        wait(lambda: shown(shared, "anna"), {"first": ("cur", "Sa")})
        wait(lambda: shown(shared, "anna", ".Arbeit.&ANw-bung"), {"second": ("new", "")})
        client.rename_folder("Arbeit", "Work")
        wait(lambda: shown(shared, "anna", ".Work.&ANw-bung"), {"second": ("new", "")})
        wait(lambda: shown(shared, "anna", ".Arbeit.&ANw-bung"), None)
        client.delete_messages(first)
        client.expunge()
        wait(lambda: shown(shared, "anna"), {})
    # What was expunged has an undelete window.
    assert len(list(maildir(shared, "anna").glob("bodies/*"))) == 2


def test_a_file_that_is_dropped_is_told_to_whoever_is_idle(shared):
    wait(lambda: shown(shared, "carl"), {})
    with shared.imap("carl@one.test") as client:
        client.select_folder("INBOX")
        client.idle()
        box = mailbox.Maildir(maildir(shared, "carl"), create=False)
        dropped = mailbox.MaildirMessage(letter("carol@far.test", "carl@one.test", "dropped", "Hello.\n"))
        dropped.set_date(1_500_000_000)
        box.add(dropped)
        told = []
        end = time.monotonic() + 60
        while (1, b"EXISTS") not in told and time.monotonic() < end:
            told += client.idle_check(timeout=0.5)
        client.idle_done()
        assert (1, b"EXISTS") in told
        ((uid, row),) = client.fetch(client.search(), ["INTERNALDATE", "FLAGS", "BODY[]"]).items()
        assert row[b"INTERNALDATE"].timestamp() == 1_500_000_000
        assert row[b"BODY[]"].endswith(b"\r\nHello.\r\n")
        assert row[b"BODY[]"].count(b"\n") == row[b"BODY[]"].count(b"\r\n")
        client.remove_flags(uid, [b"\\Seen"])
    # It was told when it was in the database: its name is made ours after that.
    wait(lambda: len(list(maildir(shared, "carl").glob("new/*.postrider-*"))), 1)
    wait(lambda: shown(shared, "carl"), {"dropped": ("new", "")})


def test_what_another_program_moves_or_removes_is_put_back(shared):
    send(shared, "kept", "dora@one.test")
    wait(lambda: shown(shared, "dora"), {"kept": ("new", "")})
    (path,) = maildir(shared, "dora").glob("new/*")
    path.rename(maildir(shared, "dora") / "cur" / f"{path.name}:2,ST")
    wait(path.exists, True)
    path.unlink()
    wait(lambda: shown(shared, "dora"), {"kept": ("new", "")})
    shared.change_mailbox("dora@one.test", address="eve@one.test")
    wait(lambda: shown(shared, "dora"), {})  # nobody has the address any more; its mail is kept, and so is its body
    assert len(list(maildir(shared, "dora").glob("bodies/*"))) == 1
    wait(lambda: shown(shared, "eve"), {})


@pytest.mark.crash
def test_kill_9_loses_nothing_that_came_by_smtp_or_was_dropped_and_stores_no_drop_twice(make_server, ca):
    server = make_server(snapshot(ca, storage=Storage(blobs="maildir")))
    luck = random.Random(11)
    accepted, dropped = set(), set()
    wait(lambda: shown(server, "alice"), {})

    def deliver(name):
        with contextlib.suppress(OSError, smtplib.SMTPException):
            for number in itertools.count():
                send(server, f"{name}.{number}", "alice@one.test")
                accepted.add(f"{name}.{number}")

    def drop(name, ended):
        box = mailbox.Maildir(maildir(server, "alice"), create=False)
        for number in itertools.count():
            if ended.wait(0.02):
                return
            box.add(f"Subject: dropped {name}.{number}\n\nHello.\n")
            dropped.add(f"dropped {name}.{number}")

    for number in range(ROUNDS):
        ended, workers = threading.Event(), Workers()
        workers.run(deliver, number)
        workers.run(drop, number, ended)
        time.sleep(luck.uniform(1.5, 3.5))
        server.kill()
        ended.set()
        workers.join()
        server.start()
    wait(lambda: [path for path in maildir(server, "alice").glob("new/*") if ".postrider-" not in path.name], [])
    with server.imap("alice@one.test") as client:
        client.select_folder("INBOX", readonly=True)
        rows = client.fetch(client.search(), ["ENVELOPE"]).values()
    stored = Counter(row[b"ENVELOPE"].subject.decode() for row in rows)
    assert not (accepted | dropped) - stored.keys()
    assert {subject for subject in dropped if stored[subject] != 1} == set()
    assert len(accepted) > ROUNDS
    assert len(dropped) > ROUNDS
    wait(lambda: shown(server, "alice"), dict.fromkeys(stored, ("new", "")))
    assert len(list(maildir(server, "alice").glob("bodies/*"))) == stored.total()
