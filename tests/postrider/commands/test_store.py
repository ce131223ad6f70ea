"""`store verify`, `store rebuild` and `store compact`, as somebody at a terminal sees them."""

import os

import pytest
from stored import ALICE, INBOX, append, intake
from typer.testing import CliRunner

from postrider.__main__ import app
from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.pack_files import pack_path


def said(*words):
    result = CliRunner().invoke(app, ["store", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
async def data(tmp_path):
    store = open_local(tmp_path / "mail", Options(allow_tmpfs=True, measure_sync=False, pack_size=256 * 1024))
    for n in range(30):
        await store.writer.commit(append(INBOX, b"%d" % n + os.urandom(30_000), flags=8))
    await store.writer.commit(t.Expunge(ALICE, INBOX, tuple(range(3, 30))))
    await store.writer.commit(intake(ALICE))
    await store.close()
    return tmp_path / "mail"


def test_all_is_well(data):
    code, output = said("verify", "--data", data)
    assert (code, output.splitlines()[-1]) == (0, "all is well")


def test_room_comes_back(data):
    code, output = said("compact", "--data", data)
    assert (code, output) == (0, "894.9 Ki before, 100.2 Ki now\n")
    assert said("verify", "--data", data)[0] == 0


def test_a_lost_database_is_made_again(data):
    for path in data.glob("mail.db*"):
        path.unlink()
    code, output = said("verify", "--data", data)
    assert code == 1
    assert "store rebuild" in output
    assert said("rebuild", "--data", data) == (0, "1 account, 6 folders, 4 messages, 0 queue rows\n")
    assert said("verify", "--data", data)[0] == 0
    code, output = said("rebuild", "--data", data)
    assert code == 0
    assert "the old database is now mail.db.before-" in output


@pytest.mark.parametrize("command", ["rebuild", "compact"])
def test_nothing_is_made_in_somebody_elses_directory(data, monkeypatch, command):
    monkeypatch.setattr(os, "geteuid", lambda: data.stat().st_uid + 1)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    code, output = said(command, "--data", data)
    assert code == 1
    assert f"belongs to user {data.stat().st_uid}: run this as that user" in output
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for somebody else")
def test_what_root_backs_up_its_owner_can_still_open(data, tmp_path):
    for path in (data, *data.rglob("*")):
        os.chown(path, 12345, 12345)
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "shelf"), "--data", str(data)])
    assert done.exit_code == 0
    assert {path.stat().st_uid for path in data.rglob("*")} == {12345}


def test_damage_is_said(data):
    with pack_path(data / "packs", 1).open("r+b") as file:
        file.seek(40_000)
        file.write(b"!" * 8)
    code, output = said("verify", "--data", data)
    assert code == 1
    assert "problem" in output


@pytest.mark.parametrize("command", ["verify", "rebuild", "compact"])
def test_a_directory_that_is_not_one(tmp_path, command):
    code, output = said(command, "--data", tmp_path)
    assert code == 1
    assert str(tmp_path) in output


def test_a_server_that_runs_is_not_disturbed(data, monkeypatch):
    monkeypatch.setattr("postrider.app.storage._WAIT", 0)
    store = open_local(data, Options(allow_tmpfs=True, measure_sync=False, wait=0))
    try:
        assert said("verify", "--data", data)[0] == 0
        for command in ("rebuild", "compact"):
            code, output = said(command, "--data", data)
            assert code == 1
            assert "in use" in output
    finally:
        store.writer._closing = True
        with store.writer._wake:
            store.writer._wake.notify()
        store.writer._thread.join()
