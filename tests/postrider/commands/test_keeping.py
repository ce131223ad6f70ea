"""`undelete` and `usage` as they are typed."""

import asyncio
import time

import pytest
from stored import append
from typer.testing import CliRunner

from postrider.__main__ import app
from postrider.app import tools
from postrider.contract import files
from postrider.contract.model import Domain, Mailbox, Server, Snapshot
from postrider.store import transactions as t
from postrider.store.values import Account, Flag

ALICE = Account("default/alice@one.test")
LETTER = b"Subject: hello\r\n\r\nGood morning.\r\n"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def declare(data, *names, domain_quota=0, **fields):
    mailboxes = tuple(Mailbox(address=f"{name}@one.test", **fields) for name in names)
    domains = (Domain(name="one.test", quota_bytes=domain_quota),)
    snapshot = Snapshot(server=Server(hostname="mx.one.test"), generation=1, domains=domains, mailboxes=mailboxes)
    files.write_directory(data / "snapshot", files.normal(snapshot))


def in_store(data, work):
    async def run():
        async with tools.opened(data, fresh=True) as store:
            return await work(store)

    return asyncio.run(run())


async def expunge(store, mailbox_id, number=2):
    done = await store.writer.commit(append(mailbox_id, *[LETTER] * number, account=ALICE))
    await store.writer.commit(t.SetFlags(ALICE, mailbox_id, done.target, t.FlagChange.ADD, Flag.DELETED))
    await store.writer.commit(t.Expunge(ALICE, mailbox_id, done.target, keep=True))


async def names(store):
    return {row.name: row.messages for row in await store.reader.mailboxes(ALICE) if row.messages}


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture
def filled(data):
    """Two expunged messages in INBOX, three in a folder that is gone."""

    async def fill(store):
        await expunge(store, 1)
        made = await store.writer.commit(t.CreateMailbox(ALICE, "Letters"))
        await expunge(store, made.id, 3)
        await store.writer.commit(t.DeleteMailbox(ALICE, made.id, keep=True))

    in_store(data, fill)
    return data


def test_what_can_be_brought_back_is_listed(filled):
    status, text = run("undelete", "alice@one.test", "--list", "--data", filled)
    assert status == 0
    lines = text.splitlines()
    assert [line.split()[-1] for line in lines[:5]] == ["INBOX"] * 2 + ["Letters"] * 3
    assert lines[0][:10] in {time.strftime("%Y-%m-%d", time.gmtime(time.time() - ago)) for ago in (0, 3600)}
    assert lines[-1] == "5 messages, 165 B"


@pytest.mark.parametrize("more", [(), ("--list",)])
def test_a_name_mistyped_is_said_and_makes_no_account(filled, more):
    status, text = run("undelete", "alcie@one.test", *more, "--data", filled)
    assert status == 1
    assert "there is no mail of default/alcie@one.test" in text
    assert "alcie" not in run("usage", "--data", filled)[1]


def test_everything_comes_back_to_where_it_was(filled):
    status, text = run("undelete", "alice@one.test", "--data", filled)
    assert (status, text) == (0, "5 messages brought back: 2 in INBOX, 3 in Letters\n")
    assert in_store(filled, names) == {"INBOX": 2, "Letters": 3}
    assert run("undelete", "alice@one.test", "--data", filled)[1] == "0 messages brought back\n"


def test_a_folder_and_a_time_can_be_named(filled):
    one = ("undelete", "alice@one.test", "--data", filled, "--folder", "inbox")
    assert run(*one, "--since", "2099-01-01")[1] == "0 messages brought back\n"
    assert run(*one, "--since", "1h", "--into", "Back/Again")[1] == "2 messages brought back: 2 in Back/Again\n"
    status, text = run(*one, "--since", "yesterday")
    assert status == 2
    assert "neither 7d nor" in text


def test_the_quota_holds_unless_it_is_ignored(filled):
    declare(filled, "alice", quota_bytes=100)
    status, text = run("undelete", "alice@one.test", "--data", filled)
    assert status == 1
    assert "2 messages brought back: 2 in INBOX" in text
    assert "it does not fit into the quota" in text
    assert run("undelete", "alice@one.test", "--data", filled, "--ignore-quota")[0] == 0


def test_a_removed_mailbox_comes_back_once_it_is_declared_again(data):
    async def remove(store):
        await store.writer.commit(append(1, LETTER, account=ALICE))
        await store.writer.commit(t.Release(ALICE, keep=True))

    in_store(data, remove)
    back = ("undelete", "alice@one.test", "--removed", "--data", data)
    declare(data, "bob")
    assert "declare it again first" in run(*back)[1]
    declare(data, "alice")
    assert run(*back) == (0, "default/alice@one.test has 1 message again\n")
    assert in_store(data, names) == {"INBOX": 1}
    assert "nothing is kept" in run(*back)[1]


def test_a_removed_mailbox_does_not_push_out_other_mail(data):
    async def remove(store):
        for _ in range(2):
            await store.writer.commit(append(1, LETTER, account=ALICE))
            await store.writer.commit(t.Release(ALICE, keep=True))
        await store.writer.commit(t.OpenAccount(ALICE))

    in_store(data, remove)
    back = ("undelete", "alice@one.test", "--removed", "--data", data)
    assert run(*back)[0] == 0  # the account is there, but empty
    status, text = run(*back)
    assert status == 1
    assert "two accounts cannot become one" in text


def test_usage_of_all_of_a_domain_and_of_one(filled):
    async def more(store):
        await store.writer.commit(append(1, b"x" * 800, account=ALICE))
        await store.writer.commit(append(1, b"x" * 50, account=Account("default/bob@one.test")))
        await store.writer.commit(t.SetHold(ALICE, held=True))

    in_store(filled, more)
    declare(filled, "alice", quota_bytes=1000, domain_quota=10_000)
    status, text = run("usage", "--data", filled)
    assert status == 0
    head, alice, bob, domain = (line.split(maxsplit=6) for line in text.splitlines())
    assert head == ["USED", "QUOTA", "FULL", "MESSAGES", "NAME"]
    assert alice[:6] == ["800", "B", "1000", "B", "80", "%"]
    assert "legal hold, expunged since" in text
    assert bob[-2:] == ["default/bob@one.test", "not declared"]
    assert domain[:6] == ["850", "B", "9.8", "Ki", "8", "%"]
    assert run("usage", "--data", filled, "--domain", "ONE.test") == (0, text)
    assert "nothing was ever stored" in run("usage", "carol@one.test", "--data", filled)[1]
    assert run("usage", "--data", filled, "--domain", "three.test") == (
        1, "postrider-server: no account of three.test has mail: nothing was ever stored for one\n",
    )  # fmt: skip
    lines = run("usage", "default/alice@one.test", "--data", filled)[1].splitlines()
    assert len(lines) == 2
