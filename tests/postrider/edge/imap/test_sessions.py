"""Sessions beside each other: news only when they may be told, idling, and the end of an account."""

from __future__ import annotations

import asyncio

import msgspec

from postrider.accounts.directory import Directory
from postrider.edge import imap_session
from postrider.store.transactions import Reason, StoreError, TouchRecent

MESSAGE = b"Subject: one\r\n\r\nbody\r\n"


def told(lines: list[bytes]) -> list[bytes]:
    return [line.rstrip() for line in lines[:-1]]


async def test_expunge_is_told_only_when_numbers_may_change(connect):
    async with connect() as one, connect() as two:
        for _ in range(3):
            await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        await two.ask("SELECT INBOX")
        await one.ask("STORE 2 +FLAGS.SILENT (\\Deleted)")
        assert told(await one.ask("EXPUNGE")) == [b"* 2 EXPUNGE"]
        # RFC 9051 §7.5.1: during FETCH, STORE and SEARCH the numbers stay as they were.
        fetched = await two.ask("FETCH 1:3 UID")
        assert told(fetched) == [b"* 1 FETCH (UID 1)", b"* 3 FETCH (UID 3)"]
        assert b"OK [EXPUNGEISSUED]" in fetched[-1]
        assert told(await two.ask("SEARCH ALL")) == [b"* SEARCH 1 2 3"]
        assert told(await two.ask("STORE 3 +FLAGS (\\Flagged)")) == [b"* 3 FETCH (UID 3 FLAGS (\\Flagged))"]
        assert told(await two.ask("NOOP")) == [b"* 2 EXPUNGE"]
        assert told(await two.ask("FETCH 2 UID")) == [b"* 2 FETCH (UID 3)"]
        assert told(await one.ask("NOOP")) == [b"* 2 FETCH (UID 3 FLAGS (\\Flagged \\Recent))"]


async def test_an_expunge_that_is_withheld_is_not_lost_with_the_connection(connect):
    """Modseqs told meanwhile are higher than its own: who came back with them would never hear of it."""
    async with connect() as one, connect() as two, connect() as three:
        for _ in range(3):
            await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        for late in (two, three):
            await late.ask("ENABLE QRESYNC" if late is two else "NOOP")
            await late.ask("SELECT INBOX")
        await one.ask("STORE 2 +FLAGS.SILENT (\\Deleted)")
        before = await two.ask("NOOP")
        await three.ask("NOOP")
        known = int(before[0].partition(b"MODSEQ (")[2].partition(b")")[0])
        await one.ask("EXPUNGE")
        await one.ask("STORE 1 +FLAGS.SILENT (\\Flagged)")
        lower = b"* OK [HIGHESTMODSEQ %d] Highest" % known
        lines = told(await two.ask("FETCH 1 (MODSEQ)"))
        assert b"* 1 FETCH (MODSEQ (%d))" % (known + 2) in lines
        assert lines[-1] == lower
        assert lower in told(await three.ask("FETCH 1 (FLAGS)") + await three.ask("FETCH 1 (MODSEQ)"))
        assert told(await two.ask("NOOP")) == [b"* VANISHED 2"]
        assert not [line for line in await two.ask("FETCH 1 (MODSEQ)") if b"HIGHESTMODSEQ" in line]


async def test_a_folder_is_opened_on_a_full_disk(connect, site, monkeypatch):
    """What is \\Recent cannot be written down then; the next SELECT does."""
    commit = site.store.writer.commit

    async def full(txn):
        if isinstance(txn, TouchRecent):
            raise StoreError(Reason.NO_SPACE)
        return await commit(txn)

    await site.deliver(MESSAGE)
    async with connect() as one:
        with monkeypatch.context() as patch:
            patch.setattr(site.store.writer, "commit", full)
            opened = await one.ask("SELECT INBOX")
            assert b"* 1 RECENT\r\n" in opened
            assert b"OK [READ-WRITE]" in opened[-1]
        assert b"* 1 RECENT\r\n" in await one.ask("SELECT INBOX")
        assert b"* 0 RECENT\r\n" in await one.ask("SELECT INBOX")


async def test_new_mail_and_flags_reach_other_sessions(connect, site):
    async with connect() as one, connect() as two:
        await one.ask("SELECT INBOX")
        await two.ask("SELECT INBOX")
        await site.deliver(MESSAGE)
        assert told(await one.ask("NOOP")) == [b"* 1 EXISTS", b"* 1 RECENT"]
        assert told(await two.ask("UID FETCH 1 FLAGS")) == [b"* 1 EXISTS", b"* 1 RECENT"]
        assert told(await one.ask("STORE 1 +FLAGS.SILENT (\\Seen $Mine)")) == []
        assert told(await one.ask("NOOP")) == []
        assert told(await two.ask("NOOP")) == [b"* 1 FETCH (UID 1 FLAGS (\\Seen $Mine \\Recent))"]
        assert told(await one.ask("FETCH 1 (BODY[TEXT])")) == [
            b"* 1 FETCH (BODY[TEXT] {6}", b"body", b" FLAGS (\\Seen $Mine \\Recent))"
        ]  # fmt: skip


async def test_much_news_is_told_a_slice_at_a_time(connect, monkeypatch):
    monkeypatch.setattr(imap_session, "NEWS_SLICE", 2)
    async with connect() as one, connect() as two:
        for _ in range(7):
            await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        await two.ask("EXAMINE INBOX")
        for number in range(1, 8):
            await one.ask(f"STORE {number} +FLAGS (\\Seen)")
        seen = [line for line in told(await two.ask("NOOP")) if b"Seen" in line]
        assert [line.split()[1] for line in seen] == [b"%d" % number for number in range(1, 8)]
        for number in (6, 4, 2):
            await one.ask(f"STORE {number} +FLAGS.SILENT (\\Deleted)")
            await one.ask("EXPUNGE")
        await one.append(MESSAGE)
        lines = told(await two.ask("NOOP"))
        assert [line for line in lines if b"EXPUNGE" in line] == [b"* 6 EXPUNGE", b"* 4 EXPUNGE", b"* 2 EXPUNGE"]
        assert b"* 5 EXISTS" in lines
        assert told(await two.ask("FETCH 1:* UID"))[-1] == b"* 5 FETCH (UID 8)"


async def test_reading_a_body_sets_seen_once(connect, site):
    async with connect() as one:
        await site.deliver(MESSAGE)
        await one.ask("EXAMINE INBOX")
        assert b"Seen" not in b"".join(await one.ask("FETCH 1 (FLAGS BODY[])"))
        await one.ask("SELECT INBOX")
        assert b"Seen" not in b"".join(await one.ask("FETCH 1 (FLAGS BODY.PEEK[])"))
        assert b"FLAGS (\\Seen" in b"".join(await one.ask("FETCH 1 BODY[]"))
        assert told(await one.ask("NOOP")) == []


async def test_idle_hears_of_deliveries_flags_and_expunges(connect, site):
    async with connect() as one, connect() as two:
        await one.ask("SELECT INBOX")
        await two.ask("SELECT INBOX")
        await one.say(b"i IDLE\r\n")
        assert await one.line() == b"+ idling\r\n"
        await site.deliver(MESSAGE)
        assert await one.line() == b"* 1 EXISTS\r\n"
        assert await one.line() == b"* 1 RECENT\r\n"
        await two.ask("NOOP")
        await two.ask("STORE 1 +FLAGS (\\Deleted)")
        assert await one.line() == b"* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))\r\n"
        await two.ask("EXPUNGE")
        assert await one.line() == b"* 1 EXPUNGE\r\n"
        await one.say(b"DONE\r\n")
        assert await one.line() == b"i OK Done\r\n"
        assert told(await one.ask("NOOP")) == []


async def test_a_user_whose_mailbox_is_gone_is_sent_away(connect, site):
    async with connect() as idle, connect() as quiet, connect("bob@example.org", "geheim") as bob:
        await idle.ask("SELECT INBOX")
        await idle.say(b"i IDLE\r\n")
        await idle.line()
        site.declare("bob")
        assert await idle.line() == b"* BYE Your mailbox is gone\r\n"
        assert await idle.line() == b""
        assert await quiet.line() == b"* BYE Your mailbox is gone\r\n"
        assert b" OK " in (await bob.ask("NOOP"))[-1]
    async with connect(login="") as again:
        assert b" NO [AUTHENTICATIONFAILED]" in (await again.ask("LOGIN alice@example.org secret"))[-1]


async def test_the_same_address_in_another_namespace_is_another_user(connect, site):
    async with connect() as one:
        box = site.directory.mailbox("alice@example.org")
        moved = msgspec.structs.replace(box, namespace="other")
        site.directory = Directory(msgspec.structs.replace(site.directory.snapshot, mailboxes=(moved,)))
        assert b"BYE" in (await one.ask('LIST "" *'))[0]


async def test_a_selected_folder_deleted_elsewhere_ends_the_session(connect):
    async with connect() as one, connect() as two:
        await one.ask("CREATE Work")
        await one.ask("SELECT Work")
        await one.say(b"i IDLE\r\n")
        await one.line()
        await two.ask("DELETE Work")
        assert b"BYE" in await one.line()


async def test_draining_says_goodbye(connect, site):
    async with connect() as one, connect() as two:
        await one.ask("SELECT INBOX")
        await one.say(b"i IDLE\r\n")
        await one.line()
        await asyncio.wait_for(site.tls.drain(60), 30)
        assert (await one.line()).startswith(b"* BYE Server is going down")
        assert (await two.line()).startswith(b"* BYE Server is going down")


async def test_starttls_before_login_is_a_must(site, client_tls):
    reader, writer = await asyncio.open_connection(*site.clear.address)
    assert b"STARTTLS LOGINDISABLED" in await reader.readline()
    writer.write(b"a LOGIN alice@example.org secret\r\n")
    assert (await reader.readline()).startswith(b"a NO [PRIVACYREQUIRED]")
    writer.write(b"b STARTTLS\r\nc CREATE Evil\r\n")
    assert (await reader.readline()).startswith(b"b OK")
    await writer.start_tls(client_tls, server_hostname="127.0.0.1")
    writer.write(b"d LOGIN alice@example.org secret\r\n")
    assert (await reader.readline()).startswith(b"d OK [CAPABILITY")
    writer.write(b'e LIST "" Evil\r\nf LOGOUT\r\n')
    assert (await reader.readline()).startswith(b"e OK")
    assert (await reader.readline()).startswith(b"* BYE")
    writer.close()
