"""The database is lost, right after the server was killed: made again from the packs it is what it was."""

import subprocess
import sys

from imapclient import DELETED, FLAGGED, SEEN
from running import snapshot


def picture(server, login):
    """All that a client can know of an account: folders, UIDVALIDITY, UIDs, flags, modseqs, dates, messages."""
    found = {}
    with server.imap(login) as client:
        subscribed = {name for _, _, name in client.list_sub_folders()}
        for flags, _, name in client.list_folders():
            about = client.select_folder(name, readonly=True)
            uids = client.search()
            rows = client.fetch(uids, ["FLAGS", "MODSEQ", "INTERNALDATE", "ENVELOPE", "BODY.PEEK[]"]) if uids else {}
            rows = {uid: {key: row[key] for key in row if key != b"SEQ"} for uid, row in rows.items()}
            known = (about[b"UIDVALIDITY"], about[b"UIDNEXT"], about[b"HIGHESTMODSEQ"])
            found[name] = (sorted(flags), name in subscribed, known, rows)
    return found


def command(server, *words):
    line = [sys.executable, "-m", "postrider", "store", *words, "--data", str(server.directory / "data")]
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=180)


def test_a_lost_database_is_made_again(make_server, ca):
    server = make_server(snapshot(ca))
    with server.submission("alice@one.test") as client:
        for n in range(8):
            body = f"From: alice@one.test\r\nTo: bob@one.test\r\nSubject: {n}\r\n\r\n" + f"line {n}\r\n" * 500
            client.sendmail("alice@one.test", ["bob@one.test", f"waits{n}@elsewhere.test"], body)
    server.messages("bob@one.test", count=8)
    with server.imap("bob@one.test") as client:
        client.create_folder("deep/er")
        client.subscribe_folder("not there")
        client.select_folder("INBOX")
        client.add_flags([1, 2], [FLAGGED, "word"])
        client.move([3, 4], "deep/er")
        client.copy([5], "Archive")
        client.add_flags([6], [DELETED])
        client.uid_expunge([6])
        client.append("Drafts", b"Subject: draft\r\n\r\nunfinished\r\n", [SEEN])
        client.rename_folder("Junk", "Rubbish")
    before, counters = picture(server, "bob@one.test"), server.counters()
    server.kill()
    server.process.wait()
    data = server.directory / "data"
    for path in data.glob("mail.db*"):
        path.unlink()
    done = command(server, "rebuild")
    assert (done.returncode, done.stderr) == (0, "")
    assert "again" not in done.stdout
    server.start()
    assert picture(server, "bob@one.test") == before
    assert server.counters() == counters
    assert counters["queued"] == 8
    done = command(server, "verify")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all is well")
