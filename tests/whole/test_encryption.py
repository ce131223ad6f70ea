"""Mail that is encrypted at rest: nobody finds it on the disk; everybody who may read it does."""

import base64

import msgspec
from running import snapshot

from postrider.contract.model import NamedSecret, Storage

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
    return [
        path for path in directory.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in words)
    ]


def send(server, *recipients, letter=LETTER):
    with server.submission("alice@one.test") as client:
        client.sendmail("alice@one.test", recipients, letter)


def test_nobody_finds_it_on_the_disk(make_server, ca):
    server = make_server(with_keys(snapshot(ca), "1"))
    data = server.directory / "data"
    send(server, "bob@one.test", "alice@one.test", "waits@nowhere.invalid")
    (mail,) = server.messages("bob@one.test", count=1)
    with server.imap("bob@one.test") as client:
        client.select_folder("INBOX")
        client.append("Drafts", LETTER.encode())
        assert client.search(["TEXT", MARK]) == [1]
        assert client.search(["SUBJECT", MARK]) == [1]
        (row,) = client.fetch([1], ["ENVELOPE", "BODY.PEEK[]<0.40>"]).values()
        assert MARK.encode() in row[b"ENVELOPE"].subject
    assert found(data) == []
    server.terminate()
    assert found(data) == []
    server.start()
    assert server.messages("bob@one.test", count=1) == [mail]
    assert found(data) == []
    for path in data.glob("keys/????????"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_symlink()
