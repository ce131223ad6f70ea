"""Messages through all stages into a real store: who gets what, with which fields, and what the sender hears."""

from __future__ import annotations

import json
import os

import dkim
import msgspec
import pytest

from postrider.contract import dkim as keypairs
from postrider.ingest.examine import Examiner
from postrider.ingest.pipeline import STAGES, Ingest, Stage
from postrider.ingest.spool import IN_MEMORY
from postrider.mime.cached import from_cache
from postrider.model.address import parse_address
from postrider.model.envelope import Envelope, Notify, Recipient, Source
from postrider.store.transactions import Reason, StoreError

HEADER = b"From: X <x@far.test>\r\nTo: alice@one.test\r\nSubject: hello\r\nDate: d\r\nMessage-ID: <1@far.test>\r\n"
MESSAGE = HEADER + b"\r\nbody\r\n"
DATE = b"Wed, 18 Nov 2026 11:06:40 +0000"


async def test_mx_delivery_is_stamped(site, envelope) -> None:
    reply = await site.take(MESSAGE, envelope("alice@one.test"))
    assert (reply.code, reply.enhanced) == (250, "2.0.0")
    (mail,) = await site.mail("alice@one.test")
    token = reply.text.rpartition(" ")[2].encode()
    assert mail == (
        b"Return-Path: <x@far.test>\r\n"
        b"Received: from mail.far.test ([192.0.2.7])\r\n"
        b"\tby mx.one.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid " + token + b"\r\n\tfor <alice@one.test>;\r\n\t" + DATE + b"\r\n" + MESSAGE
    )


async def test_several_recipients_share_the_blob_and_no_names(site, envelope) -> None:
    await site.take(MESSAGE, envelope("alice@one.test", "bob@two.test"))
    (alice,), (bob,) = await site.mail("alice@one.test"), await site.mail("bob@two.test")
    assert alice == bob
    assert b"for <" not in alice
    (one,), (two,) = await site.inbox("alice@one.test"), await site.inbox("bob@two.test")
    assert one.blob == two.blob
    assert await site.conserved() | {"accepted": 2, "delivered": 2} == await site.conserved()


async def test_aliases_go_where_they_lead_and_to_each_place_once(site, envelope) -> None:
    reply = await site.take(MESSAGE, envelope("nested@one.test", "alice@one.test", "team@one.test"))
    assert reply.code == 250
    assert len(await site.mail("alice@one.test")) == len(await site.mail("bob@two.test")) == 1
    (row,) = await site.store.reader.queue()
    assert (row.destination, row.recipient, row.sender) == ("far.test", "carol@far.test", "x@far.test")
    assert not row.prefix.startswith(b"Return-Path")
    counters = await site.conserved()
    assert (counters["accepted"], counters["delivered"], counters["queued"]) == (3, 2, 1)


@pytest.mark.parametrize(
    ("recipients", "code", "enhanced"),
    [
        (("a@one.test",), 554, "5.4.6"),  # the alias leads to itself
        (("nobody@one.test",), 550, "5.1.1"),
        (("carol@far.test",), 550, "5.7.1"),
        (("alice@one.test", "carol@far.test"), 550, "5.7.1"),
        ((), 554, "5.5.1"),
    ],
)
async def test_nowhere_to_go_is_refused_and_nothing_kept(site, envelope, recipients, code, enhanced) -> None:
    reply = await site.take(MESSAGE, envelope(*recipients))
    assert (reply.code, reply.enhanced) == (code, enhanced)
    assert (await site.conserved())["accepted"] == 0


async def test_a_dead_end_beside_a_mailbox_is_left_to_the_queue(site, envelope) -> None:
    reply = await site.take(MESSAGE, envelope("alice@one.test", "nobody@one.test"))
    assert reply.code == 250
    (row,) = await site.store.reader.queue()
    assert (row.destination, row.recipient) == ("local/nobody@one.test", "nobody@one.test")


async def test_over_quota_waits_in_the_queue_and_others_are_delivered(site, envelope) -> None:
    reply = await site.take(HEADER + b"\r\n" + b"x" * 2000, envelope("small@one.test", "alice@one.test"))
    assert reply.code == 250
    assert len(await site.mail("alice@one.test")) == 1
    (row,) = await site.store.reader.queue()
    assert row.destination == "local/default/small@one.test"


async def test_over_quota_alone_is_said_to_who_still_listens(site, envelope) -> None:
    reply = await site.take(HEADER + b"\r\n" + b"x" * 2000, envelope("small@one.test"))
    assert str(reply) == "452 4.2.2 The mailbox is full, try again later"
    assert await site.store.reader.queue() == []
    assert sum((await site.store.reader.counters()).values()) == 0


async def test_own_mail_that_finds_no_room_waits(site) -> None:
    await site.ingest.own(MESSAGE + b"x" * 2000, Envelope(None, (Recipient(parse_address("small@one.test")),)))
    (row,) = await site.store.reader.queue()
    assert (row.destination, row.recipient) == ("local/default/small@one.test", "small@one.test")


@pytest.mark.parametrize(
    ("data", "announced", "asked"),
    [
        (MESSAGE, {"smtputf8": True, "body": "8BITMIME"}, ("8BITMIME", False)),
        (MESSAGE, {}, ("7BIT", False)),
        (MESSAGE + b"\xc3\xbc\r\n", {}, ("8BITMIME", False)),
        (MESSAGE + b"\xc3\xbc\r\n", {"smtputf8": True}, ("8BITMIME", False)),
        (b"Subject: \xc3\xbc\r\n" + MESSAGE, {"smtputf8": True}, ("8BITMIME", True)),
    ],
)
async def test_the_next_server_is_asked_for_what_the_message_needs(site, envelope, data, announced, asked) -> None:
    """RFC 6531 §3.4: without SMTPUTF8 there, mail that needs it comes back; other mail must not."""
    await site.take(data, msgspec.structs.replace(envelope("team@one.test"), **announced))
    (row,) = await site.store.reader.queue()
    assert (row.body, row.smtputf8) == asked


@pytest.mark.parametrize("size", [10, IN_MEMORY, IN_MEMORY + 1, 1_000_000])
@pytest.mark.parametrize("chunk", [1000, 1 << 16])
async def test_bytes_arrive_as_they_were_sent(site, envelope, size, chunk) -> None:
    message = HEADER + b"\r\n" + os.urandom(size).hex().encode()[:size] + b"\r\n"
    await site.take(message, envelope("alice@one.test"), chunk=chunk)
    (row,) = await site.inbox("alice@one.test")
    assert await site.store.reader.body("default/alice@one.test", row.blob) == message
    assert from_cache(row.cached).root.end == len(message)


@pytest.mark.parametrize(
    ("incoming", "kept"),
    [
        (b"Return-Path: <evil@x.test>\r\n" + MESSAGE, MESSAGE),
        (b"RETURN-PATH : <e@x.test>\r\n folded\r\nReturn-Path: <f@x.test>\r\n" + MESSAGE, MESSAGE),
        (HEADER + b"Return-Path: <e@x.test>\r\n\r\nReturn-Path: body\r\n", HEADER + b"\r\nReturn-Path: body\r\n"),
        (b"Return-Path-Not: x\r\n" + MESSAGE, b"Return-Path-Not: x\r\n" + MESSAGE),
    ],
)
async def test_only_our_own_return_path_remains(site, envelope, incoming, kept) -> None:
    await site.take(incoming, envelope("alice@one.test"))
    (row,) = await site.inbox("alice@one.test")
    assert row.prefix.startswith(b"Return-Path: <x@far.test>\r\n")
    assert await site.store.reader.body("default/alice@one.test", row.blob) == kept


async def test_mail_loops_end(site, envelope) -> None:
    fields = b"Received: by a\r\n\tb; c\r\n"
    assert (await site.take(fields * 5 + MESSAGE, envelope("alice@one.test"))).code == 250
    reply = await site.take(fields * 6 + MESSAGE, envelope("alice@one.test"))
    assert (reply.code, reply.enhanced) == (554, "5.4.6")


async def test_too_large_is_refused(site, envelope) -> None:
    reply = await site.take(HEADER + b"\r\n" + b"x" * 2_000_001, envelope("alice@one.test"))
    assert (reply.code, reply.enhanced) == (552, "5.3.4")


async def test_submission_is_completed_and_signed(site, envelope, keys) -> None:
    submitted = b"From: Alice <alice@ONE.test>\r\nSubject: hello\r\n\r\nbody\r\n"
    to = envelope("bob@two.test", "carol@far.test", sender="alice@one.test", source=Source.SUBMISSION)
    reply = await site.take(submitted, to, Source.SUBMISSION)
    assert reply.code == 250
    (mail,) = await site.mail("bob@two.test")
    (row,) = await site.store.reader.queue()
    token = reply.text.rpartition(" ")[2].encode()
    completed = b"Date: " + DATE + b"\r\nMessage-ID: <" + token + b"@mx.one.test>\r\n" + submitted
    assert mail.endswith(b"\r\n" + completed)
    assert b"Received: from laptop ([IPv6:2001:db8::7])\r\n\tby mx.one.test with ESMTPSA\r\n" in mail
    assert mail == b"Return-Path: <alice@one.test>\r\n" + row.prefix + submitted
    assert row.account == "default/alice@one.test"
    published = {f"{key.selector}._domainkey.one.test.": keypairs.public_txt(key.pem).encode() for key in keys}
    verifier = dkim.DKIM(mail, minkey=1024)
    for index in range(2):
        assert verifier.verify(index, dnsfunc=lambda name, timeout=5: published[name.decode()])
    (inbox,) = await site.inbox("bob@two.test")
    cached = from_cache(inbox.cached).envelope
    assert (cached.date, cached.message_id) == (DATE, b"<" + token + b"@mx.one.test>")


async def test_submission_with_its_own_fields_is_left_alone(site, envelope) -> None:
    message = b"Date: mine\r\nMessage-ID: <mine@one.test>\r\nFrom: alice@two.test\r\n\r\nbody\r\n"
    await site.take(message, envelope("bob@two.test", source=Source.SUBMISSION), Source.SUBMISSION)
    (mail,) = await site.mail("bob@two.test")
    assert mail.count(b"Message-ID:") == 1
    assert b"DKIM-Signature" not in mail, "two.test has no keys"


@pytest.mark.parametrize(
    "author", [b"x@far.test", b"alice@one.test, x@far.test", b"nobody", b"alice@one.test\r\nFrom: x@far.test"]
)
async def test_submission_speaks_for_our_domains_only(site, envelope, author) -> None:
    message = b"From: " + author + b"\r\n\r\nbody\r\n"
    reply = await site.take(message, envelope("bob@two.test", source=Source.SUBMISSION), Source.SUBMISSION)
    assert (reply.code, reply.enhanced) == (550, "5.7.1")


async def test_submission_without_author_gets_the_sender(site, envelope) -> None:
    to = envelope("bob@two.test", sender="alice@one.test", source=Source.SUBMISSION)
    assert (await site.take(b"\r\nbody\r\n", to, Source.SUBMISSION)).code == 250
    (mail,) = await site.mail("bob@two.test")
    assert b"\r\nFrom: <alice@one.test>\r\n" in mail
    assert b"DKIM-Signature" in mail


async def test_success_is_reported_when_asked_for(site, envelope) -> None:
    await site.take(MESSAGE, envelope("alice@one.test", sender="bob@two.test", notify=Notify.SUCCESS))
    (notice,) = await site.mail("bob@two.test")
    assert notice.startswith(b"Return-Path: <>\r\n")
    assert b"Action: delivered\r\nStatus: 2.1.5\r\n" in notice
    assert b"Final-Recipient: rfc822; alice@one.test\r\n" in notice
    await site.take(MESSAGE, envelope("alice@one.test", sender="", notify=Notify.SUCCESS))
    assert len(await site.mail("bob@two.test")) == 1


async def test_the_store_says_no(site, envelope) -> None:
    expected = {
        Reason.NO_SPACE: (452, "4.3.1"),
        Reason.WRITE_FAILED: (451, "4.3.0"),
        Reason.UNAVAILABLE: (451, "4.3.0"),
        Reason.INVALID: (451, "4.3.0"),
    }

    class Refusing:
        def __init__(self, reason: Reason) -> None:
            self.reason = reason

        async def commit(self, txn: object) -> object:
            raise StoreError(self.reason, "secret detail")

    writer = site.store.writer
    for reason, reply in expected.items():
        site.store.writer = Refusing(reason)
        found = await site.take(MESSAGE, envelope("alice@one.test"))
        assert (found.code, found.enhanced) == reply
        assert "secret" not in found.text
    site.store.writer = writer


async def test_a_spool_that_cannot_be_written(site, envelope) -> None:
    site.spool.rmdir()
    spool = site.ingest.begin(Source.MX)
    for _ in range(2):
        await spool.write(b"x" * IN_MEMORY)
    reply = await site.ingest.finish(spool, Source.MX, envelope("alice@one.test"))
    assert (reply.code, reply.enhanced) == (451, "4.3.0")


async def test_abort_leaves_nothing(site) -> None:
    spool = site.ingest.begin(Source.MX)
    await spool.write(b"x" * (IN_MEMORY + 1))
    assert list(site.spool.iterdir())
    site.ingest.abort(spool)
    assert not list(site.spool.iterdir())


async def test_the_log_names_the_message_and_none_of_its_content(site, envelope) -> None:
    reply = await site.take(MESSAGE, envelope("alice@one.test"))
    (line,) = [json.loads(one) for one in site.log.getvalue().splitlines() if "smtp.accepted" in one]
    assert reply.text.endswith(line["id"])
    assert line["recipients"] == ["alice@one.test"]
    assert "hello" not in site.log.getvalue()
    assert "body" not in site.log.getvalue()


async def test_own_mail_meets_no_examiner(site) -> None:
    async def never(subject: object) -> list[object]:
        raise AssertionError

    ingest = Ingest(site.ports, {source: (Examiner("x", never, 1),) for source in Source})
    await ingest.own(MESSAGE, Envelope(None, (Recipient(parse_address("alice@one.test")),)))
    (mail,) = await site.mail("alice@one.test")
    assert mail == b"Return-Path: <>\r\n" + MESSAGE
    assert "server.failure" not in site.log.getvalue()


def test_only_strangers_are_examined_and_judged() -> None:
    assert STAGES[Stage.EXAMINE] == STAGES[Stage.JUDGE] == {Source.MX, Source.SUBMISSION, Source.WEB}
    assert list(STAGES) == list(Stage)
