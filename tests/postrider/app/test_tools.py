"""A store for commands: with a server, without one, and what is said where there can be none."""

import os
import threading
from contextlib import contextmanager

import pytest
from stored import append

from postrider.app import tools
from postrider.store import open as stores
from postrider.store.directory import CannotOpen
from postrider.store.values import Account

ALICE = Account("default/alice@a.test")


@pytest.mark.parametrize(
    ("text", "namespace", "account"),
    [
        ("alice@a.test", "", "default/alice@a.test"),
        ("Alice@A.Test", "mail", "mail/alice@a.test"),
        ("team/alice@a.test", "", "team/alice@a.test"),
        ("team/alice@a.test", "mail", "mail/team/alice@a.test"),  # a local part may have a slash
        ("x!y/alice@a.test", "", "default/x!y/alice@a.test"),
    ],
)
def test_accounts_are_named_by_address_and_namespace(text, namespace, account):
    assert tools.account_named(text, namespace) == account


@pytest.mark.parametrize("text", ["", "alice", "team/", "team/alice", "alice@", "@a.test"])
def test_what_is_no_address_names_no_account(text):
    with pytest.raises(tools.BadAccount):
        tools.account_named(text)


@contextmanager
def server(data):
    """A writer that serves this data directory, as a group has it."""
    runtime = data.parent / "runtime"
    runtime.mkdir()
    writer = stores.open_writer(data, stores.Options(allow_tmpfs=True, measure_sync=False, wait=0))
    writer.listen(runtime / "writer.sock")
    (data / "runtime").symlink_to(runtime)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield
    finally:
        writer.stop()
        thread.join()


async def test_without_a_server_the_directory_is_opened_and_let_go(tmp_path):
    for uid in (1, 2):
        async with tools.opened(tmp_path, fresh=True, wait=0) as store:
            done = await store.writer.commit(append(account=ALICE))
            assert done.target == (uid,)


async def test_with_a_server_its_writer_commits(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with server(data):
        async with tools.opened(data, wait=0) as store:
            await store.writer.commit(append(account=ALICE))
            assert list(await store.reader.uids(ALICE, 1)) == [1]
    async with tools.opened(data, wait=0) as store:  # a link that a server left disturbs nobody
        assert list(await store.reader.uids(ALICE, 1)) == [1]


async def test_who_is_only_asked_about_gets_no_account(tmp_path):
    async with tools.opened(tmp_path, fresh=True, wait=0) as store:
        assert await store.reader.usage(ALICE) == (0, 0)
        assert [*await store.reader.mailboxes(ALICE), *await store.reader.uids(ALICE, 1)] == []
        assert (await store.reader.account_changes(ALICE, 0)).others == ()
        assert await store.reader.accounts() == []
        await store.writer.commit(append(account=ALICE))
        assert await store.reader.usage(ALICE) != (0, 0)


async def test_a_directory_somebody_holds_without_answering_is_in_use(tmp_path):
    async with tools.opened(tmp_path, fresh=True, wait=0):
        with pytest.raises(CannotOpen, match=f"in use by another server or command .pid {os.getpid()}"):
            async with tools.opened(tmp_path, wait=0.3):
                pass


async def test_a_directory_that_is_missing_is_not_made(tmp_path):
    with pytest.raises(CannotOpen, match="--data names"):
        async with tools.opened(tmp_path / "dta", wait=0):
            pass
    assert not (tmp_path / "dta").exists()


async def test_a_directory_of_something_else_is_left_alone(tmp_path):
    with pytest.raises(CannotOpen, match="no mail"):
        async with tools.opened(tmp_path, wait=0):
            pass
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(CannotOpen, match="no mail"):
        async with tools.opened(tmp_path, fresh=True, wait=0):
            pass


async def test_the_directory_of_local_mode_is_told_from_its_mail(tmp_path):
    async with tools.opened(_made(tmp_path / "mail"), fresh=True, wait=0):
        pass
    with pytest.raises(CannotOpen, match=str(tmp_path / "mail")):
        async with tools.opened(tmp_path, wait=0):
            pass


async def test_a_damaged_database_is_said_to_be_damaged(tmp_path):
    (tmp_path / "mail.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(CannotOpen, match=r"mail.db cannot be read .*damaged"):
        async with tools.opened(tmp_path, wait=0):
            pass


def _made(path):
    path.mkdir()
    return path
