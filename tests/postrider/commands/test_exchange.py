"""`import` and `export` as they are typed."""

import mailbox

import pytest
from typer.testing import CliRunner

from postrider.__main__ import app
from postrider.contract import files
from postrider.contract.model import Domain, Mailbox, Server, Snapshot

FROM = b"From alice@one.test Thu Jan  1 12:00:00 2009\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def box(tmp_path):
    (tmp_path / "in.mbox").write_bytes((FROM + b"Subject: x\n\n" + b"x" * 400 + b"\n\n") * 3)
    return tmp_path / "in.mbox"


def declare(data, **fields):
    mailboxes = (Mailbox(address="alice@one.test", **fields),)
    server = Server(hostname="mx.one.test")
    snapshot = Snapshot(server=server, generation=1, domains=(Domain(name="one.test"),), mailboxes=mailboxes)
    files.write_directory(data / "snapshot", files.normal(snapshot))


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_in_and_out(data, box, tmp_path):
    def told(*arguments):
        status, text = run(*arguments, "--data", data)
        assert status == 0
        return text.rpartition(" in ")[0]

    assert told("import", box, "alice@one.test") == "3 messages imported"
    assert told("import", box, "default/alice@one.test") == "0 messages imported, 3 were there already"
    export = ("export", "alice@one.test", tmp_path / "out", "--folder", "INBOX")
    assert told(*export) == "3 messages exported"
    assert len(mailbox.Maildir(tmp_path / "out", create=False)) == 3
    assert told(*export) == "0 messages exported, 3 were there already"


def test_an_account_nobody_declared_is_asked_about(data, box):
    declare(data)
    status, text = run("import", box, "alcie@one.test", "--data", data)
    assert status == 1
    assert "no Mailbox is declared for default/alcie@one.test; with --undeclared" in text
    assert run("import", box, "alcie@one.test", "--data", data, "--undeclared")[0] == 0


def test_the_quota_holds_unless_it_is_ignored(data, box):
    declare(data, quota_bytes=1000)
    status, text = run("import", box, "alice@one.test", "--data", data)
    assert status == 1
    assert "over quota: raise the quota, or import with --ignore-quota. The same command goes on" in text
    assert run("import", box, "alice@one.test", "--data", data, "--ignore-quota")[1].startswith("3 messages imported")


def test_what_is_passed_over_is_counted_and_the_status_says_so(data, tmp_path):
    (tmp_path / "Maildir" / "cur").mkdir(parents=True)
    (tmp_path / "Maildir" / "cur" / "1.a:2,").write_bytes(b"Subject: x\n\n")
    (tmp_path / "Maildir" / "cur" / "2.b:2,").symlink_to("1.a:2,")
    status, text = run("import", tmp_path / "Maildir", "alice@one.test", "--data", data)
    assert status == 1
    assert "1 message imported, 1 could not be imported" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("import", "missing", "alice@one.test"), "missing: there is no such file or directory"),
        (("import", "empty", "alice@one.test"), "neither a Maildir nor mbox or .eml files"),
        (("import", "photo", "alice@one.test"), "neither like an mbox file nor like a message"),
        (("import", "in.mbox", "alice"), "'alice': an address needs an @"),
        (("import", "in.mbox", "alice@one.test", "--format", "maildir"), "this is no Maildir"),
        (("export", "bob@one.test", "out"), "there is no mail of default/bob@one.test"),
        (("export", "alice@one.test", "out", "--folder", "Wrok"), "default/alice@one.test has no folder Wrok"),
        (("export", "alice@one.test", "/dev/null/out"), "postrider-server: /dev/null/out: Not a directory"),
        (("backup", "gs://bucket/mail"), "to a directory (a mounted one will do) or to s3://BUCKET/PREFIX"),
        (("backup", "s3:/bucket/mail"), "s3:/bucket/mail: a bucket is written s3://BUCKET or s3://BUCKET/PREFIX"),
        (("export", "alice@one.test", "full"), "full is not empty"),
        (("export", "alice@one.test", "out", "--format", "mboxo"), "can be imported only"),
    ],
)
def test_what_is_wrong_is_said(data, box, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    run("import", box, "alice@one.test", "--data", data)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo").write_bytes(b"\x89PNG: \r\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.jpg").touch()
    status, told = run(*arguments, "--data", data)
    assert status != 0
    assert text in told.replace("\n", " ")
    assert not (tmp_path / "out").exists()
