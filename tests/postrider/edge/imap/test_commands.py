"""Commands to the letter: what the RFCs want to see on the wire."""

from __future__ import annotations

import base64
import errno
import random

import apsw
import pytest

from postrider.mailbox import actions

PICTURE = bytes(range(256)) * 3
INNER = b"From: inner@example.net\r\nSubject: inside\r\n\r\nInner text\r\n"
MULTIPART = (
    b"From: Carol <carol@example.net>\r\nTo: alice@example.org, bob@example.org\r\nSubject: parts\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"preamble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(PICTURE).replace(b"\n", b"\r\n")
    + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    + INNER
    + b"\r\n--b--\r\n"
)
SIMPLE = b"From: dave@example.net\r\nSubject: simple\r\nDate: 1 Feb 2020 10:00:00 +0000\r\n\r\nplain words\r\n"


def told(lines: list[bytes]) -> bytes:
    return b"".join(lines[:-1])


def code(lines: list[bytes]) -> bytes:
    return lines[-1].split(b" ", 1)[1].rstrip()


@pytest.mark.parametrize(
    ("item", "answer"),
    [
        ("BODY.PEEK[HEADER.FIELDS (subject FROM)]", b"From: Carol <carol@example.net>\r\nSubject: parts\r\n\r\n"),
        ("BODY.PEEK[HEADER.FIELDS.NOT (From To Subject Date MIME-Version Content-Type)]", b"\r\n"),
        ("BODY.PEEK[HEADER]", MULTIPART[: MULTIPART.index(b"preamble")]),
        ("BODY.PEEK[TEXT]", MULTIPART[MULTIPART.index(b"preamble") :]),
        ("BODY.PEEK[]", MULTIPART),
        ("BODY.PEEK[]<10.20>", MULTIPART[10:30]),
        ("BODY.PEEK[]<100000.20>", b""),
        ("BODY.PEEK[1]", b"Gr=C3=BC=C3=9Fe"),
        (
            "BODY.PEEK[1.MIME]",
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        ),
        ("BINARY.PEEK[1]", "Grüße".encode()),
        ("BODY.PEEK[3]", INNER),
        ("BODY.PEEK[3.HEADER]", b"From: inner@example.net\r\nSubject: inside\r\n\r\n"),
        ("BODY.PEEK[3.HEADER.FIELDS (Subject)]", b"Subject: inside\r\n\r\n"),
        ("BODY.PEEK[3.TEXT]", b"Inner text\r\n"),
        ("BODY.PEEK[3.1]", b"Inner text\r\n"),
        ("RFC822.HEADER", MULTIPART[: MULTIPART.index(b"preamble")]),
    ],
)
async def test_sections(connect, item, answer):
    async with connect() as one:
        await one.append(MULTIPART)
        await one.ask("SELECT INBOX")
        text = told(await one.ask(f"FETCH 1 {item}"))
        assert text.endswith(b"{%d}\r\n%b)\r\n" % (len(answer), answer))


async def test_sections_of_nothing_and_decoded_sizes(connect):
    async with connect() as one:
        await one.append(MULTIPART)
        await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        assert told(await one.ask("FETCH 1 BODY.PEEK[9]")) == b"* 1 FETCH (BODY[9] NIL)\r\n"
        assert told(await one.ask("FETCH 1 BODY.PEEK[1.HEADER]")) == b"* 1 FETCH (BODY[1.HEADER] NIL)\r\n"
        assert told(await one.ask("FETCH 1 BINARY.SIZE[2]")) == b"* 1 FETCH (BINARY.SIZE[2] 768)\r\n"
        assert told(await one.ask("FETCH 1 BINARY.PEEK[2]")) == (
            b"* 1 FETCH (BINARY[2] ~{768}\r\n" + PICTURE + b")\r\n"
        )
        assert told(await one.ask("FETCH 2 BODY.PEEK[1]")) == b"* 2 FETCH (BODY[1] {13}\r\nplain words\r\n)\r\n"
        assert told(await one.ask("FETCH 2 BODY.PEEK[1.1]")) == b"* 2 FETCH (BODY[1.1] NIL)\r\n"


async def test_structure_and_macros(connect):
    async with connect() as one:
        await one.append(MULTIPART)
        await one.ask("SELECT INBOX")
        body = told(await one.ask("FETCH 1 BODY"))
        assert body == (
            b'* 1 FETCH (BODY (("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 15 1)'
            b'("application" "octet-stream" NIL NIL NIL "base64" 1052)'
            b'("message" "rfc822" NIL NIL NIL "7bit" %d '
            b'(NIL "inside" ((NIL NIL "inner" "example.net")) ((NIL NIL "inner" "example.net"))'
            b' ((NIL NIL "inner" "example.net")) NIL NIL NIL NIL NIL)'
            b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 1) 4) "mixed"))\r\n' % len(INNER)
        )
        fast = told(await one.ask("FETCH 1 FAST"))
        assert fast.startswith(b'* 1 FETCH (FLAGS (\\Recent) INTERNALDATE "14-Nov-2023 22:13:20 +0000" RFC822.SIZE ')


async def test_list_extended(connect):
    async with connect() as one:
        await one.ask("CREATE Work/Deep/Est")
        await one.ask("UNSUBSCRIBE Sent")
        await one.ask("SUBSCRIBE Gone/Child")
        await one.ask("SUBSCRIBE Work/Deep")
        assert told(await one.ask('LIST "" ""')) == b'* LIST (\\Noselect) "/" ""\r\n'
        assert told(await one.ask('LIST "" %/%')) == b'* LIST (\\HasChildren) "/" Work/Deep\r\n'
        assert told(await one.ask("LIST Work/ *")) == (
            b'* LIST (\\HasChildren) "/" Work/Deep\r\n* LIST (\\HasNoChildren) "/" Work/Deep/Est\r\n'
        )
        assert told(await one.ask('LIST (SPECIAL-USE) "" *')).count(b"* LIST") == 5
        assert told(await one.ask('LIST (SUBSCRIBED) "" (Se* Work/* Gone/*) RETURN (CHILDREN)')) == (
            b'* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" Gone/Child\r\n'
            b'* LIST (\\HasChildren \\Subscribed) "/" Work/Deep\r\n'
        )
        assert told(await one.ask('LIST (SUBSCRIBED RECURSIVEMATCH) "" W%')) == (
            b'* LIST (\\HasChildren) "/" Work ("CHILDINFO" ("SUBSCRIBED"))\r\n'
        )
        assert told(await one.ask('LIST "" inbox RETURN (STATUS (MESSAGES UNSEEN))')) == (
            b'* LIST (\\HasNoChildren) "/" INBOX\r\n* STATUS INBOX (MESSAGES 0 UNSEEN 0)\r\n'
        )
        assert told(await one.ask('LSUB "" W%')) == b'* LSUB (\\Noselect) "/" Work\r\n'
        assert told(await one.ask('LSUB "" Gone*')) == b'* LSUB () "/" Gone/Child\r\n'
        assert b" BAD " in (await one.ask('LIST (RECURSIVEMATCH) "" *'))[-1]
        assert told(await one.ask('LIST "" "S%e%n%t%%%%%%%%%%"')) == b'* LIST (\\HasNoChildren \\Sent) "/" Sent\r\n'
        for command in ("LIST", "LSUB"):
            assert b" OK " in (await one.ask(f'{command} "" "{200 * "%a"}"'))[-1]
            assert b" BAD " in (await one.ask(f'{command} "%a" "{200 * "%a"}"'))[-1]


async def test_folders_say_why_not(connect):
    async with connect() as one:
        assert code(await one.ask("CREATE Sent")).startswith(b"NO [ALREADYEXISTS]")
        assert code(await one.ask("CREATE inBox")).startswith(b"NO [ALREADYEXISTS]")
        assert code(await one.ask('CREATE "a//b"')).startswith(b"NO [CANNOT]")
        assert code(await one.ask('CREATE "a*"')).startswith(b"NO [CANNOT] The name has characters")
        assert code(await one.ask("CREATE x (USE (\\Odd))")).startswith(b"NO [USEATTR]")
        assert code(await one.ask("SELECT nowhere")).startswith(b"NO [NONEXISTENT]")
        assert code(await one.ask("DELETE nowhere")).startswith(b"NO [NONEXISTENT]")
        assert code(await one.ask("DELETE INBOX")).startswith(b"NO [CANNOT]")
        assert code(await one.append(SIMPLE, "nowhere")).startswith(b"NO [TRYCREATE]")
        assert code(await one.ask("CREATE Work/")).startswith(b"OK [MAILBOXID (")
        await one.ask("CREATE Work/Inner")
        assert code(await one.ask("DELETE Work")).startswith(b"NO [HASCHILDREN]")
        await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        assert code(await one.ask("COPY 1 nowhere")).startswith(b"NO [TRYCREATE]")
        assert code(await one.ask("FETCH 2 UID")) == b"BAD No such message"
        assert code(await one.ask("SELECT nowhere")).startswith(b"NO ")
        assert code(await one.ask("FETCH 1 UID")).startswith(b"BAD")


async def test_select_copy_move_and_status(connect):
    async with connect() as one:
        for _ in range(3):
            await one.append(SIMPLE)
        opened = await one.ask("SELECT INBOX")
        assert b"* 3 EXISTS\r\n" in opened
        assert any(line.startswith(b"* OK [UIDNEXT 4]") for line in opened)
        assert any(line.startswith(b"* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft \\*)]")
                   for line in opened)  # fmt: skip
        validity = next(line for line in opened if b"UIDVALIDITY" in line).split()[3].rstrip(b"]")
        copied = code(await one.ask("COPY 1,3 INBOX"))
        assert copied.startswith(b"OK [COPYUID %b 1,3 4:5]" % validity)
        moved = await one.ask("UID MOVE 2,4 Trash")
        assert moved[0].startswith(b"* OK [COPYUID ")
        assert moved[0].rstrip().endswith(b" 2,4 1:2] Moved")
        assert moved[1:-1] == [b"* 4 EXPUNGE\r\n", b"* 2 EXPUNGE\r\n"]
        assert told(await one.ask("STATUS Trash (MESSAGES UIDNEXT UNSEEN DELETED SIZE RECENT)")) == (
            b"* STATUS Trash (MESSAGES 2 UIDNEXT 3 UNSEEN 2 DELETED 0 SIZE %d RECENT 2)\r\n" % (2 * len(SIMPLE))
        )
        assert b"* OK [CLOSED]" in told(await one.ask("EXAMINE Trash"))
        assert code(await one.ask("STORE 1 +FLAGS (\\Seen)")).startswith(b"NO [READ-ONLY]")
        assert code(await one.ask("EXPUNGE")).startswith(b"NO [READ-ONLY]")
        assert code(await one.ask("MOVE 1 INBOX")).startswith(b"NO [READ-ONLY]")


async def test_a_move_that_ends_midway_tells_what_moved(connect, tmp_path, monkeypatch):
    monkeypatch.setattr(actions, "SLICE", 1)
    async with connect() as one:
        for _ in range(3):
            await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        db = apsw.Connection(str(tmp_path / "data" / "mail.db"))
        db.setbusytimeout(10_000)  # the writer may be at its upkeep
        db.execute("UPDATE mailbox SET uidnext = 4294967294 WHERE name = 'Trash'")
        db.close()
        moved = await one.ask("MOVE 1:3 Trash")
        assert moved[0].startswith(b"* OK [COPYUID ")  # RFC 6851 §4.3
        assert moved[0].rstrip().endswith(b" 1 4294967294] Moved")
        assert code(moved).startswith(b"NO [LIMIT]")
        assert b"* 1 EXPUNGE\r\n" in await one.ask("NOOP")
        assert len(await one.ask("MOVE 1:2 Trash")) == 1


async def test_uid_expunge_and_close(connect):
    async with connect() as one:
        for _ in range(4):
            await one.append(SIMPLE, flags="\\Deleted")
        await one.ask("SELECT INBOX")
        assert told(await one.ask("UID EXPUNGE 2:3")) == b"* 3 EXPUNGE\r\n* 2 EXPUNGE\r\n"
        assert told(await one.ask("UNSELECT")) == b""
        assert told(await one.ask("STATUS INBOX (MESSAGES)")) == b"* STATUS INBOX (MESSAGES 2)\r\n"
        await one.ask("SELECT INBOX")
        assert told(await one.ask("CLOSE")) == b""
        assert told(await one.ask("STATUS INBOX (MESSAGES)")) == b"* STATUS INBOX (MESSAGES 0)\r\n"


async def test_search_keys(connect):
    async with connect() as one:
        await one.append(MULTIPART, flags="\\Seen $Work")
        await one.append(SIMPLE, flags="\\Flagged")
        await one.append(SIMPLE.replace(b"simple", b"=?iso-8859-1?Q?L=F6we?="))
        await one.ask("SELECT INBOX")

        async def found(keys: str) -> list[int]:
            line = told(await one.ask(f"SEARCH {keys}"))
            assert line.startswith(b"* SEARCH")
            return [int(number) for number in line.split()[2:]]

        for keys, numbers in {
            "ALL": [1, 2, 3],
            "SEEN": [1],
            "UNSEEN FLAGGED": [2],
            "KEYWORD $work": [1],
            "UNKEYWORD $Work": [2, 3],
            "NEW": [2, 3],
            "OLD": [],
            "2:*": [2, 3],
            "UID 3": [3],
            "NOT 2": [1, 3],
            "OR FROM carol FLAGGED": [1, 2],
            "TO bob@example.org": [1],
            "CC x": [],
            'HEADER "MIME-Version" ""': [1],
            "SENTON 14-Nov-2023": [1],
            "SENTBEFORE 1-Mar-2020": [2, 3],
            "SENTSINCE 1-Jan-2021": [1],
            "ON 14-Nov-2023": [1, 2, 3],
            "SINCE 15-Nov-2023": [],
            "LARGER 500": [1],
            f"SMALLER {len(SIMPLE) + 1}": [2],
            "YOUNGER 10": [1, 2, 3],
            "OLDER 10": [],
            'BODY "plain WORDS"': [2, 3],
            "BODY inside": [1],
            "TEXT carol": [1],
            "(NOT (SEEN) NOT FLAGGED)": [3],
        }.items():
            assert await found(keys) == numbers, keys
        assert b"* SEARCH 1 (MODSEQ " in told(await one.ask("SEARCH MODSEQ 1 SEEN"))
        assert told(await one.ask('SEARCH CHARSET UTF-8 BODY "grüße"')) == b"* SEARCH 1\r\n"
        assert told(await one.ask("SEARCH CHARSET UTF-8 SUBJECT LÖWE")) != b"* SEARCH 3\r\n"  # not an atom
        assert told(await one.ask('SEARCH CHARSET UTF-8 SUBJECT "LÖWE"')) == b"* SEARCH 3\r\n"


async def test_searches_with_as_many_keys_as_there_may_be(connect):
    async with connect() as one:
        await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        deep = "OR NOT SEEN NOT " * 74
        for keys in (500 * "NOT KEYWORD x ", 250 * "OR NOT SEEN LARGER 1 ", deep + "NOT SEEN " + 425 * "NOT SEEN "):
            assert told(await one.ask(f"SEARCH {keys}")) == b"* SEARCH 1\r\n"


async def test_esearch_and_saved_results(connect):
    async with connect() as one:
        for _ in range(5):
            await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        await one.ask("STORE 2 +FLAGS.SILENT (\\Seen)")
        answer = told(await one.ask("UID SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN"))
        assert answer.startswith(b"* ESEARCH (TAG ")
        assert answer.endswith(b") UID COUNT 4 MIN 1 MAX 5 ALL 1,3:5\r\n")
        assert told(await one.ask("UID SEARCH RETURN (MAX) UID 1:4 UNSEEN")).endswith(b") UID MAX 4\r\n")
        assert told(await one.ask("SEARCH RETURN (SAVE) UNSEEN 2:4")) == b""
        assert told(await one.ask("FETCH $ UID")) == b"* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 4)\r\n"
        assert told(await one.ask("UID SEARCH $ 4")) == b"* SEARCH 4\r\n"
        assert told(await one.ask("SEARCH RETURN (COUNT) SEEN FLAGGED")).endswith(b") COUNT 0\r\n")
        await one.ask("ENABLE IMAP4rev2")
        assert told(await one.ask("SEARCH SEEN")).endswith(b") ALL 2\r\n")


async def test_condstore_and_qresync(connect):
    async with connect() as one, connect() as two:
        for _ in range(4):
            await one.append(SIMPLE)
        opened = await two.ask("SELECT INBOX (CONDSTORE)")
        validity = next(line for line in opened if b"UIDVALIDITY" in line).split()[3].rstrip(b"]").decode()
        before = int(next(line for line in opened if b"HIGHESTMODSEQ" in line).split()[3].rstrip(b"]"))
        await one.ask("SELECT INBOX")
        await one.ask("STORE 2 +FLAGS.SILENT (\\Seen)")
        changed = told(await two.ask(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})"))
        now = before + 1
        assert changed.startswith(b"* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent) MODSEQ (%d))\r\n" % now)
        kept = await two.ask(f"STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Flagged)")
        assert code(kept).startswith(b"OK [MODIFIED 2]")
        assert told(kept) == b"* 1 FETCH (UID 1 MODSEQ (%d))\r\n* 3 FETCH (UID 3 MODSEQ (%d))\r\n" % (now + 1, now + 1)
        await one.ask("STORE 3 +FLAGS.SILENT (\\Deleted)")
        await one.ask("EXPUNGE")
        async with connect() as three:
            assert b" BAD " in (await three.ask(f"SELECT INBOX (QRESYNC ({validity} {before}))"))[-1]
            await three.ask("ENABLE QRESYNC")
            again = told(await three.ask(f"SELECT INBOX (QRESYNC ({validity} {before} 1:*))"))
            assert b"* VANISHED (EARLIER) 3\r\n* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (%d))\r\n" % (now + 1) in again
            assert b"* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (%d))\r\n" % now in again
            await one.ask("STORE 1 +FLAGS.SILENT (\\Deleted)")
            await one.ask("EXPUNGE")
            assert told(await three.ask("NOOP")) == b"* VANISHED 1\r\n"
            assert told(await three.ask(f"UID FETCH 1:4 UID (CHANGEDSINCE {before} VANISHED)")).startswith(
                b"* VANISHED (EARLIER) 1,3\r\n"
            )


async def test_multiappend_and_limits(connect, site):
    async with connect() as one:
        await one.say(b"a APPEND INBOX {3+}\r\none (\\Seen) {3+}\r\ntwo\r\n")
        assert b"OK [APPENDUID " in (lines := await one.until(b"a "))[-1]
        assert lines[-1].split()[4] == b"1:2]"
        await one.say(b"b APPEND INBOX {2097153}\r\n")
        assert (await one.until(b"b "))[-1].startswith(b"b NO [TOOBIG]")
        site.declare("alice", quota=100)  # while she is logged in
        await one.say(b"c APPEND INBOX {200}\r\n")
        assert (await one.until(b"c "))[-1].startswith(b"c NO [OVERQUOTA]")
        await one.say(b"d APPEND INBOX {50+}\r\n" + b"x" * 50 + b" {49+}\r\n" + b"y" * 49 + b"\r\n")
        assert (await one.until(b"d "))[-1].startswith(b"d NO [OVERQUOTA]")
        site.declare("alice", domain_quota=100)
        await one.say(b"e APPEND INBOX {95}\r\n")
        assert (await one.until(b"e "))[-1].startswith(b"e NO [OVERQUOTA]")
        assert told(await one.ask("STATUS INBOX (MESSAGES)")) == b"* STATUS INBOX (MESSAGES 2)\r\n"


async def test_large_messages_stream_both_ways(connect, tmp_path):
    message = SIMPLE + random.Random(1).randbytes(700_000).hex().encode() + b"\r\n"
    async with connect() as one:
        await one.append(message)
        assert list(tmp_path.glob("spool-*")) == []
        await one.ask("SELECT INBOX")
        fetched = told(await one.ask("UID FETCH 1 (BODY.PEEK[] UID)"))
        assert fetched == b"* 1 FETCH (BODY[] {%d}\r\n%b UID 1)\r\n" % (len(message), message)
        assert told(await one.ask("FETCH 1 BODY.PEEK[]<300000.500000>")).endswith(message[300_000:800_000] + b")\r\n")


async def test_a_full_disk_refuses_an_append_and_the_session_goes_on(connect, monkeypatch):
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with connect() as one:
        with monkeypatch.context() as disk:
            disk.setattr("postrider.ingest.spool.tempfile.mkstemp", full)
            assert code(await one.append(SIMPLE + b"x" * 700_000)).startswith(b"NO [UNAVAILABLE] No space")
        assert code(await one.append(SIMPLE + b"x" * 700_000)).startswith(b"OK [APPENDUID")
        assert told(await one.ask("STATUS INBOX (MESSAGES)")) == b"* STATUS INBOX (MESSAGES 1)\r\n"


async def test_prefix_is_part_of_the_message(connect, site):
    prefix = b"Return-Path: <x@example.net>\r\nReceived: by us\r\n"
    await site.deliver(SIMPLE, prefix)
    async with connect() as one:
        await one.ask("SELECT INBOX")
        whole = prefix + SIMPLE
        assert told(await one.ask("FETCH 1 (RFC822.SIZE BODY.PEEK[])")) == (
            b"* 1 FETCH (RFC822.SIZE %d BODY[] {%d}\r\n%b)\r\n" % (len(whole), len(whole), whole)
        )
        assert told(await one.ask("FETCH 1 BODY.PEEK[]<40.20>")).endswith(b"{20}\r\n" + whole[40:60] + b")\r\n")
        assert b"Received: by us" in told(await one.ask("FETCH 1 BODY.PEEK[HEADER.FIELDS (Received)]"))
        assert told(await one.ask("FETCH 1 BODY.PEEK[TEXT]")).endswith(b"\r\nplain words\r\n)\r\n")
        assert told(await one.ask("SEARCH HEADER Received us")) == b"* SEARCH 1\r\n"


async def test_a_delete_that_is_refused_leaves_the_folder_selected(connect):
    async with connect() as one:
        await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        assert code(await one.ask("DELETE INBOX")).startswith(b"NO [CANNOT]")
        assert told(await one.ask("FETCH 1 UID")) == b"* 1 FETCH (UID 1)\r\n"


async def test_objects_dates_and_previews(connect):
    async with connect() as one:
        await one.append(SIMPLE)
        await one.ask("SELECT INBOX")
        text = told(await one.ask("FETCH 1 (EMAILID THREADID SAVEDATE PREVIEW (LAZY))"))
        assert b"EMAILID (" in text
        assert b'PREVIEW "plain words"' in text
        email_id = text.split(b"EMAILID (")[1].split(b")")[0].decode()
        assert told(await one.ask(f"SEARCH EMAILID {email_id}")) == b"* SEARCH 1\r\n"


async def test_rev2_names_and_select(connect):
    async with connect() as one:
        await one.ask("CREATE Pr&APw-fung")
        assert told(await one.ask('LIST "" P*')) == b'* LIST (\\HasNoChildren) "/" Pr&APw-fung\r\n'
        await one.ask("ENABLE IMAP4rev2")
        assert told(await one.ask('LIST "" P*')) == '* LIST (\\HasNoChildren) "/" "Prüfung"\r\n'.encode()
        opened = told(await one.ask('SELECT "Prüfung"'))
        assert '* LIST () "/" "Prüfung"\r\n'.encode() in opened
        assert b"RECENT" not in opened
