"""Clients people have: curl, swaks and mbsync."""

import subprocess

from letters import fields
from running import PASSWORD

LETTER = b"From: alice@one.test\r\nTo: bob@one.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n"


def run(*command, check=True, **keywords):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=180, check=False, **keywords)
    assert not check or done.returncode == 0, (done.stdout, done.stderr)
    return done


def port(server, listener):
    return server.place(listener)[1]


def test_curl_sends_and_reads(server, need, tmp_path):
    need("curl")
    (tmp_path / "letter").write_bytes(LETTER)
    tls = ("--silent", "--show-error", "--cacert", server.ca)
    for url in (f"smtp://localhost:{port(server, 'submission')}", f"smtps://localhost:{port(server, 'submissions')}"):
        sent = ("--mail-from", "alice@one.test", "--mail-rcpt", "bob@one.test", "--upload-file", tmp_path / "letter")
        run("curl", *tls, "--ssl-reqd", "--user", f"alice@one.test:{PASSWORD}", *sent, url)
    user = ("--user", f"bob@one.test:{PASSWORD}")
    for url in (f"imaps://localhost:{port(server, 'imaps')}", f"imap://localhost:{port(server, 'imap')}"):
        read = run("curl", *tls, "--ssl-reqd", *user, f"{url}/INBOX;MAILINDEX=2")
        assert read.stdout.endswith(b"Good morning.\r\n")
    found = run("curl", *tls, *user, f"imaps://localhost:{port(server, 'imaps')}/INBOX?SUBJECT%20Hello")
    assert found.stdout.strip() == b"* SEARCH 1 2"
    folders = run("curl", *tls, *user, f"imaps://localhost:{port(server, 'imaps')}/").stdout
    assert b"\\Sent" in folders


def test_swaks_sends_with_auth_and_tls(server, need):
    need("swaks")
    place = ("--server", "127.0.0.1", "--port", port(server, "submission"), "--tls")
    login = ("--auth", "LOGIN", "--auth-user", "alice@one.test", "--auth-password", PASSWORD)
    run("swaks", *place, *login, "--from", "alice@one.test", "--to", "bob@one.test", "--pipeline")
    assert len(server.messages("bob@one.test")) == 1
    wrong = run("swaks", *place, *login[:-1], "wrong", "--from", "alice@one.test", "--to", "bob@one.test", check=False)
    assert b"535" in wrong.stdout
    relayed = ("--server", "127.0.0.1", "--port", port(server, "smtp"), "--from", "a@x.test", "--to", "b@x.test")
    refused = run("swaks", *relayed, check=False)
    assert b"5.7.1" in refused.stdout


CONFIGURATION = """\
IMAPAccount server
Host localhost
Port {port}
User bob@one.test
Pass "{password}"
SSLType IMAPS
CertificateFile {ca}

IMAPStore far
Account server

MaildirStore near
SubFolders Verbatim
Path {root}/mail/
Inbox {root}/mail/INBOX

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


def test_mbsync_keeps_two_sides_alike(server, need, tmp_path):
    need("mbsync")
    with server.submission("alice@one.test") as client:
        for number in range(20):
            client.sendmail("alice@one.test", ["bob@one.test"], LETTER + b"%d\r\n" % number)
    (tmp_path / "mail").mkdir()
    configuration = tmp_path / "mbsyncrc"
    values = {"port": port(server, "imaps"), "password": PASSWORD, "ca": server.ca, "root": tmp_path}
    configuration.write_text(CONFIGURATION.format(**values))
    sync = ("mbsync", "--config", configuration, "--all")
    run(*sync)
    here = tmp_path / "mail/INBOX"
    letters = sorted((here / "new").iterdir())
    assert len(letters) == 20
    # Away from the server: one is read, one deleted, one is new in Sent.
    letters[0].rename(here / "cur" / f"{letters[0].name.partition(':')[0]}:2,S")
    letters[1].rename(here / "cur" / f"{letters[1].name.partition(':')[0]}:2,T")
    (tmp_path / "mail/Sent/new/1.2.here").write_bytes(LETTER.replace(b"\r\n", b"\n"))
    run(*sync)
    with server.imap("bob@one.test") as client:
        assert client.select_folder("INBOX")[b"EXISTS"] == 19
        assert len(client.search("SEEN")) == 1
        assert client.select_folder("Sent")[b"EXISTS"] == 1
        client.select_folder("INBOX")
        client.delete_messages(client.search("UNSEEN")[:4])
        client.expunge()
    run(*sync)
    left = [path for folder in ("new", "cur") for path in (here / folder).iterdir()]
    assert len(left) == 15
    assert all(fields(path.read_bytes().replace(b"\n", b"\r\n"), "Subject") for path in left)
