"""Mail that is encrypted at rest: nobody finds it on the disk; everybody who may read it does."""

import base64
import shutil
import smtplib
import subprocess
import sys
from collections import Counter

import msgspec
import pytest
from imapclient import IMAPClient
from live_tree import files_with, paths
from running import snapshot
from waiting import wait_until

from postrider.contract.model import NamedSecret, Storage
from postrider.store.directory import key_files
from postrider.store.keyring import Masters
from postrider.store.keys import Shredded
from postrider.store.open import keyring
from postrider.store.pack_files import pack_ids
from postrider.store.survey import read_pack

MARK = "xylophonist"
LETTER = (
    f"From: Zed {MARK} <alice@one.test>\r\nTo: bob@one.test\r\nReply-To: {MARK}@elsewhere.test\r\n"
    f"Subject: the {MARK} comes\r\n"
    f"Message-ID: <{MARK}@elsewhere.test>\r\n\r\nHere is the {MARK} again.\r\n"
)


def key(number):
    return base64.b64encode(bytes(range(number, number + 32))).decode()


def with_keys(declared, *ids, missing=()):
    """The snapshot with these keys of the store, the newest first."""
    secrets = tuple(
        NamedSecret(name=f"storage-key/{id_}", value=key(int(id_))) for id_ in sorted(ids) if id_ not in missing
    )
    server = msgspec.structs.replace(declared.server, storage=Storage(encryption_keys=ids))
    return msgspec.structs.replace(declared, server=server, secrets=secrets, generation=declared.generation + 1)


def found(directory):
    """The files below a directory that have the word, in any spelling that disks may hold."""
    words = [MARK.encode(), MARK.upper().encode(), MARK.encode("utf-16-le"), base64.b64encode(MARK.encode())[:12]]
    return files_with(paths(directory), *words)


def indexed(server):
    """How many messages were put into the search index."""
    (line,) = [
        line
        for line in server.get("/metrics", "metrics")[1].splitlines()
        if line.startswith("postrider_search_indexed_total ")
    ] or ["none 0"]
    return float(line.split()[1])


def index_files(data):
    return [*data.glob("search.db*"), *(data / "search").glob("*")]


def command(*words):
    line = [sys.executable, "-m", "postrider", *words]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=180)


def masters_of(data):
    """What the keys of a data directory are wrapped with."""
    return {msgspec.msgpack.decode(path.read_bytes()[8:])[2] for path in key_files(data)}


def send(server, *recipients, letter=LETTER):
    with server.submission("alice@one.test") as client:
        client.sendmail("alice@one.test", recipients, letter)


def test_switched_on_nobody_finds_it_on_the_disk(make_server, ca):
    server = make_server(snapshot(ca))
    data = server.directory / "data"
    send(server, "bob@one.test", letter=LETTER.replace(MARK, "trombonist"))
    (old,) = server.messages("bob@one.test", count=1)
    wait_until(lambda: indexed(server) == 1)
    assert files_with(index_files(data), b"rombonist")
    server.publish(with_keys(server.snapshot, "1"))
    wait_until((data / "keys" / "declared").is_symlink)
    send(server, "bob@one.test", "alice@one.test", "waits@nowhere.invalid")
    with server.imap("bob@one.test") as client:
        client.append("Drafts", LETTER.encode())
        client.select_folder("INBOX")
        assert client.search(["TEXT", MARK]) == client.search(["SUBJECT", MARK]) == [2]
        assert client.search(["TEXT", "nist"]) == [1, 2]
        (row,) = client.fetch([2], ["ENVELOPE"]).values()
        assert MARK.encode() in row[b"ENVELOPE"].subject
        # Three new ones, and Bob's old one goes along.
        wait_until(lambda: indexed(server) >= 5 and len(list((data / "search").glob("*.db"))) == 2)
        assert client.search(["TEXT", MARK]) == [2]
        assert client.search(["TEXT", "nist"]) == [1, 2]
        wait_until(lambda: not files_with(index_files(data), b"rombonist"))
    messages = server.messages("bob@one.test", count=2)
    assert messages[0] == old
    assert found(data) == []
    server.kill()
    assert found(data) == []
    server.start()
    assert server.messages("bob@one.test", count=2) == messages
    assert found(data) == []


@pytest.mark.crash
def test_a_shredded_account_is_gone_from_the_disk(make_server, ca):
    server = make_server(with_keys(snapshot(ca), "1"))
    data = server.directory / "data"
    send(server, "bob@one.test", "alice@one.test")
    (kept,) = server.messages("alice@one.test", count=1)
    copy = server.directory / "copy"
    shutil.copytree(data / "packs", copy)
    keys = len(list(key_files(data)))
    wait_until(lambda: len(list((data / "search").glob("*.db"))) == 2)
    assert command("shred", "bob@one.test", "--data", str(data), "--yes").returncode == 0
    assert len(list(key_files(data))) == keys - 1
    wait_until(lambda: len(list((data / "search").glob("*.db"))) == 1)
    assert server.messages("alice@one.test", count=1) == [kept]
    assert server.messages("bob@one.test", count=0) == []
    send(server, "bob@one.test")
    assert len(server.messages("bob@one.test", count=1)) == 1
    # Whoever has the disk, a copy of the packs from before and the master key finds nobody's mail but Alice's.
    masters = Masters("1", {"1": base64.b64decode(key(1))})
    ring, opened = keyring(data, masters), Counter()
    for pack in pack_ids(copy):
        for found in read_pack(copy, pack):
            if found.header.key_id:
                try:
                    ring.key(found.header.key_id)
                except Shredded:
                    opened["shredded"] += 1
                else:
                    opened["readable"] += 1
    assert opened == {"shredded": 1, "readable": 1}
    assert command("store", "verify", "--data", str(data)).returncode == 0


def test_keys_are_rotated_and_a_missing_one_concerns_its_own(make_server, ca):
    server = make_server(with_keys(snapshot(ca), "1"))
    data = server.directory / "data"
    send(server, "bob@one.test")
    (mail,) = server.messages("bob@one.test", count=1)
    server.publish(with_keys(server.snapshot, "2", "1"))
    wait_until(lambda: masters_of(data) == {"2"})
    server.publish(with_keys(server.snapshot, "2"))
    assert server.messages("bob@one.test", count=1) == [mail]
    server.kill()
    # The newest key is there, the one that Bob's mail needs is not.
    server.publish(with_keys(server.snapshot, "3", "2", missing=("2",)), wait=False)
    server.start()
    with server.submission("alice@one.test") as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("alice@one.test", ["bob@one.test"], LETTER)
        assert refused.value.smtp_code == 451
    with server.imap("bob@one.test") as client:
        client.select_folder("INBOX")
        with pytest.raises(IMAPClient.Error, match="UNAVAILABLE"):
            client.fetch([1], ["ENVELOPE"])
        assert client.fetch([1], ["FLAGS"])
    wait_until(lambda: server.events("store.keys_missing"))
    # Bob's and the queue's.
    wait_until(lambda: "postrider_store_keys_missing 2.0" in server.get("/metrics", "metrics")[1])
    server.publish(with_keys(server.snapshot, "3", "2"))
    assert server.messages("bob@one.test", count=1) == [mail]
    send(server, "bob@one.test")
    assert len(server.messages("bob@one.test", count=2)) == 2
    wait_until(lambda: masters_of(data) == {"3"})


@pytest.mark.crash
def test_backup_restore_and_rebuild_have_the_keys(make_server, ca, tmp_path):
    server = make_server(with_keys(snapshot(ca), "1"))
    data, shelf = server.directory / "data", tmp_path / "shelf"
    send(server, "bob@one.test")
    before = server.messages("bob@one.test", count=1)
    assert command("export", "bob@one.test", str(tmp_path / "out"), "--data", str(data)).returncode == 0
    assert found(tmp_path / "out")  # whoever may read it reads it
    taken = command("backup", "take", str(shelf), "--data", str(data))
    assert taken.returncode == 0, taken.stderr
    assert command("backup", "verify", str(shelf)).returncode == 0
    assert found(shelf) == []
    server.kill()
    shutil.rmtree(data)
    assert command("restore", str(shelf), "--data", str(data)).returncode == 0
    server.start()
    assert server.messages("bob@one.test", count=1) == before
    server.kill()
    for path in data.glob("mail.db*"):
        path.unlink()
    done = command("store", "rebuild", "--data", str(data))
    assert (done.returncode, done.stderr) == (0, "")
    server.start()
    assert server.messages("bob@one.test", count=1) == before
    assert found(data) == []
