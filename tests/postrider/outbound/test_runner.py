"""The queue against servers on loopback: what they get, what their answers do, and what senders are told."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from dataclasses import replace

import msgspec
import pytest

from postrider.contract.model import Policy
from postrider.model.address import parse_address
from postrider.model.envelope import Envelope, Notify, Peer, Recipient, Source
from postrider.outbound.runner import CLAIM_SECONDS, Runner
from postrider.store.transactions import Claim
from postrider.store.values import LANES

DAY = 24 * 3600


def to(address: str, notify: Notify = Notify.DEFAULT, orcpt: str = "") -> Recipient:
    return Recipient(parse_address(address), notify, orcpt)


def report(raw: bytes) -> tuple[list[email.message.Message], email.message.Message]:
    """The groups of the delivery-status part, and what was returned."""
    parsed = email.message_from_bytes(raw)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["Return-Path"] == "<>"
    _, status, returned = parsed.get_payload()
    return status.get_payload(), returned


async def test_delivery(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit("x@far.test")
    assert await post.settled() == []
    (letter,) = sink.letters
    assert letter.mail.startswith("FROM:<alice@one.test> SIZE=")
    assert letter.rcpt == ["TO:<x@far.test>"]
    assert letter.data.startswith(b"Received: from laptop")
    assert letter.data.endswith(b"\r\n\r\nbody\r\n.dot\r\n")
    assert sink.lines[-1] == "QUIT"
    assert (await post.counters())["delivered"] == 1
    assert "queue.delivered" in post.log.getvalue()


async def test_recipients_of_one_message_share_a_transaction(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit(*(f"u{i}@far.test" for i in range(60)))
    assert await post.settled() == []
    assert sorted(len(letter.rcpt) for letter in sink.letters) == [60]


async def test_messages_share_connections(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    for _ in range(30):
        await post.submit("x@far.test")
    assert await post.settled() == []
    assert len(sink.letters) == 30
    assert sink.most_open < 10, "five at first, more with success"
    assert sink.connections < 10


async def test_each_recipient_has_its_own_fate(post) -> None:
    answers = {"RCPT TO:<no@far.test>": "550 5.1.1 no such user", "RCPT TO:<later@far.test>": "450 4.2.0 try later"}
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: answers.get(line, "")
    await post.submit("yes@far.test", "no@far.test", "later@far.test")
    (row,) = await post.settled()
    assert (row.recipient, row.attempts, row.due) == ("later@far.test", 1, int(post.clock.at) + 300)
    assert row.last_reply == "450 4.2.0 try later"
    counters = await post.counters()
    assert (counters["delivered"], counters["bounced"], counters["queued"]) == (2, 1, 1)  # one is the notice
    (notice,) = await post.mail("alice@one.test")
    (message, one), returned = report(notice)
    assert message["Reporting-MTA"] == "dns; mx.one.test"
    assert one["Final-Recipient"] == "rfc822; no@far.test"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"
    assert one["Remote-MTA"] == f"dns; {sink.name}"
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload()[0]["Subject"] == "hello"
    assert sink.letters[0].rcpt == ["TO:<yes@far.test>"]


async def test_it_is_tried_again_until_it_is_delivered(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: "451 4.7.1 greylisted" if line.startswith("RCPT") else ""
    await post.submit("x@far.test")
    intervals = []
    for _ in range(6):
        (row,) = await post.settled()
        intervals.append(row.due - post.clock.at)
        post.clock.at = row.due
    assert intervals == [300, 600, 1200, 2400, 4020, 4020]
    sink.says = lambda line: ""
    assert await post.settled() == []
    assert len(sink.letters) == 1


async def test_delay_is_told_once_and_in_the_end_the_message_comes_back(post) -> None:
    post.zone.failing.add("far.test")
    await post.submit("x@far.test")
    (row,) = await post.settled()
    assert "4.4.3" in row.last_reply
    for hours in (4, 5):
        post.clock.at = row.created + hours * 3600
        (row,) = await post.settled()
    (notice,) = await post.mail("alice@one.test")
    (_, one), returned = report(notice)
    assert (one["Action"], one["Status"]) == ("delayed", "4.4.3")
    assert one["Will-Retry-Until"]
    assert returned.get_content_type() == "text/rfc822-headers"
    assert b"body" not in notice.split(b"rfc822-headers")[1]
    post.clock.at = row.created + 5 * DAY
    assert await post.settled() == []
    _, notice = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Status"] == "4.4.7"
    counters = await post.counters()
    assert (counters["expired"], counters["bounced"], counters["accepted"]) == (1, 0, 3)


@pytest.mark.parametrize(
    ("notify", "answer", "action"),
    [
        (Notify.NEVER, "550 5.1.1 no", ""),
        (Notify.SUCCESS, "550 5.1.1 no", ""),
        (Notify.FAILURE, "550 5.1.1 no", "failed"),
        (Notify.SUCCESS | Notify.FAILURE, "250 2.1.5 ok", "relayed"),
        (Notify.FAILURE, "250 2.1.5 ok", ""),
    ],
)
async def test_senders_are_told_what_they_asked_for(post, notify, answer, action) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.offers = ("PIPELINING",)
    sink.says = lambda line: answer if line.startswith("RCPT") else ""
    await post.submit(to("x@far.test", notify, "rfc822;x+2Bold@far.test"), envid="id+3D7", ret="HDRS")
    assert await post.settled() == []
    notices = await post.mail("alice@one.test")
    assert len(notices) == (1 if action else 0)
    if action:
        (message, one), returned = report(notices[0])
        assert one["Action"] == action
        assert one["Original-Recipient"] == "rfc822; x+old@far.test"
        assert message["Original-Envelope-Id"] == "id=7"
        assert returned.get_content_type() == "text/rfc822-headers"


async def test_a_server_that_knows_dsn_gets_the_parameters_as_they_were(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit(
        to("x@far.test", Notify.SUCCESS | Notify.DELAY, "rfc822;X+2Bold@far.test"), envid="Id+3D7", ret="FULL"
    )
    assert await post.settled() == []
    (letter,) = sink.letters
    assert letter.mail.endswith(" RET=FULL ENVID=Id+3D7")
    assert letter.rcpt == ["TO:<x@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X+2Bold@far.test"]
    assert await post.mail("alice@one.test") == []


async def test_nobody_is_told_about_a_notice(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: "550 5.1.1 no" if line.startswith("RCPT") else ""
    await post.submit("x@far.test", sender=None)
    assert await post.settled() == []
    counters = await post.counters()
    assert (counters["accepted"], counters["bounced"]) == (1, 1)
    assert await post.mail("alice@one.test") == []


async def test_a_notice_to_another_server_goes_through_the_queue(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: "550 5.1.1 no" if line.startswith("RCPT TO:<x@") else ""
    await post.submit("x@far.test", sender=parse_address("sender@far.test"))
    assert await post.settled() == []
    (letter,) = sink.letters
    assert letter.mail.startswith("FROM:<> ")
    assert letter.rcpt == ["TO:<sender@far.test> NOTIFY=NEVER"]


async def test_exchangers_are_tried_in_order(post, make_sink) -> None:
    second = await post.sink("192.0.2.2", make_sink("b.far.test"))
    post.zone.records["far.test", "MX"] = ("20 b.far.test", "10 a.far.test", "5 gone.far.test")
    post.zone.records["a.far.test", "A"] = ("192.0.2.9",)
    post.zone.records["a.far.test", "AAAA"] = ("2001:db8::9",)
    await post.submit("x@far.test")
    assert await post.settled() == []
    assert post.net.dialled == ["2001:db8::9", "192.0.2.9", "192.0.2.2"]
    assert len(second.letters) == 1


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "DATA"])
async def test_a_server_that_hangs_up_leaves_the_message_to_the_next(post, make_sink, stage) -> None:
    first = await post.sink("192.0.2.1", make_sink("a.far.test"))
    second = await post.sink("192.0.2.2", make_sink("b.far.test"))
    post.zone.records["far.test", "MX"] = ("10 a.far.test", "20 b.far.test")
    first.says = lambda line: None if line.startswith(stage) else ""
    await post.submit("x@far.test")
    assert await post.settled() == []
    assert (len(first.letters), len(second.letters)) == (0, 1)


async def test_a_broken_answer_to_the_final_dot_means_trying_again(post, make_sink) -> None:
    first = await post.sink("192.0.2.1", make_sink("a.far.test"))
    second = await post.sink("192.0.2.2", make_sink("b.far.test"))
    post.zone.records["far.test", "MX"] = ("10 a.far.test", "20 b.far.test")
    first.says = lambda line: None if line == "FINAL" else ""
    await post.submit("x@far.test")
    (row,) = await post.settled()
    assert row.attempts == 1
    assert second.letters == [], "it may have been accepted: not to another server at once"


async def test_a_kept_connection_that_ended_is_opened_again(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")

    left = [4, 7]

    def hangs_up_now_and_then(line: str) -> str | None:
        if line.startswith("MAIL") and len(sink.letters) in left:
            left.remove(len(sink.letters))
            return None
        return ""

    sink.says = hangs_up_now_and_then
    for _ in range(10):
        await post.submit("x@far.test")
    assert await post.settled() == []
    assert len(sink.letters) == 10
    assert "queue.deferred" not in post.log.getvalue()


async def test_a_greeting_that_refuses_is_no_verdict_on_the_message(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: "554 5.7.1 go away" if line == "CONNECT" else ""
    await post.submit("x@far.test")
    (row,) = await post.settled()
    assert row.last_reply.startswith("450 4.7.1")


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ({("far.test", "MX"): ("0 .",)}, "5.1.10"),
        ({("far.test", "MX"): ("10 mx.one.test",)}, "5.4.6"),
        ({("other.test", "A"): ("192.0.2.1",)}, "5.1.2"),
        ({("far.test", "MX"): ("10 gone.test",)}, "5.4.4"),
        ({("far.test", "TXT"): ("x",)}, "5.4.4"),
    ],
)
async def test_dns_that_says_no(post, records, status) -> None:
    post.zone.records.update(records)
    await post.submit("x@far.test")
    assert await post.settled() == []
    (notice,) = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Status"] == status
    assert post.net.dialled == []


async def test_we_notice_when_we_talk_to_ourselves(post, make_sink) -> None:
    sink = await post.sink("192.0.2.1", make_sink("mx.one.test"))
    post.zone.records["far.test", "A"] = ("192.0.2.1",)
    await post.submit("x@far.test")
    await post.settled()
    assert sink.letters == []
    (notice,) = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Status"] == "5.4.6"


async def test_tls_where_it_is_offered(post, server_tls) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.tls = server_tls
    await post.submit("x@far.test")
    assert await post.settled() == []
    assert "STARTTLS" in sink.lines
    assert len(sink.letters) == 1
    (line,) = [json.loads(one) for one in post.log.getvalue().splitlines() if "queue.delivered" in one]
    assert line["tls"].startswith("TLSv1.")


async def test_tls_that_breaks_is_done_without(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.offers = ("STARTTLS",)
    sink.says = lambda line: "220 no handshake follows" if line == "STARTTLS" else ""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sink.connections:
            return await Sink_serve(reader, writer)
        sink.connections += 1
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\nnot a handshake")
        writer.close()
        return None

    Sink_serve = sink.serve  # noqa: N806
    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    post.servers.append(server)
    post.net.ports["192.0.2.1"] = server.sockets[0].getsockname()[1]
    sink.offers = ()
    await post.submit("x@far.test")
    assert await post.settled() == []
    assert len(sink.letters) == 1


async def test_smarthost(post, make_sink, server_tls) -> None:
    from postrider.contract.model import NamedSecret, Relay  # noqa: PLC0415

    sink = await post.sink("192.0.2.1", make_sink("smart.test", offers=("PIPELINING", "AUTH PLAIN"), tls=server_tls))
    relay = Relay(host="smart.test", port=587, username="us", password_key="relay")
    post.settings(relay=relay)
    post.snapshot = type(post.snapshot)(
        server=post.snapshot.server,
        domains=post.snapshot.domains,
        mailboxes=post.snapshot.mailboxes,
        secrets=(NamedSecret(name="relay", value="geheim"),),
    )
    await post.submit("x@far.test", "y@other.test")
    assert await post.settled() == []
    assert [letter.rcpt for letter in sink.letters] == [["TO:<x@far.test>", "TO:<y@other.test>"]]
    assert "AUTH PLAIN AHVzAGdlaGVpbQ==" in sink.lines
    assert "geheim" not in post.log.getvalue()
    sink.says = lambda line: "535 5.7.8 wrong" if line.startswith("AUTH") else ""
    await post.submit("x@far.test")
    (row,) = await post.settled()
    assert "4.7.8" in row.last_reply, "our own fault is no reason to return mail"


async def test_international_mail_needs_a_server_that_takes_it(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit("jürgen@far.test", smtputf8=True)
    assert await post.settled() == []
    assert sink.letters[0].mail.endswith(" SMTPUTF8")
    sink.offers = ("PIPELINING", "8BITMIME")
    await post.submit("jürgen@far.test", smtputf8=True)
    assert await post.settled() == []
    (notice,) = await post.mail("alice@one.test")
    assert "Final-Recipient: utf-8; jürgen@far.test\r\n".encode() in notice
    assert b"message/global-delivery-status" in notice
    assert b"Status: 5.6.7" in notice
    await post.submit("x@far.test", smtputf8=True)
    assert await post.settled() == []
    assert "SMTPUTF8" not in sink.letters[-1].mail, "what is ASCII all through goes anywhere"


async def test_eight_bit_mail_is_declared_where_it_can_be(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    data = b"From: alice@one.test\r\n\r\n\xc3\xa4\r\n"
    await post.submit("x@far.test", data=data)
    assert await post.settled() == []
    assert "BODY=8BITMIME" in sink.letters[0].mail
    sink.offers = ()
    await post.submit("x@far.test", data=data)
    assert await post.settled() == []
    assert sink.letters[1].data.endswith(b"\xc3\xa4\r\n")


async def test_over_quota_is_delivered_when_there_is_room(post) -> None:
    await post.submit("small@one.test", "alice@one.test", data=b"From: alice@one.test\r\n\r\n" + b"x" * 2000)
    (row,) = await post.settled()
    post.clock.at = row.due
    (row,) = await post.settled()
    assert row.last_reply.startswith("452 4.2.2")
    mailboxes = tuple(type(one)(address=one.address) for one in post.snapshot.mailboxes)
    post.snapshot = type(post.snapshot)(server=post.snapshot.server, domains=post.snapshot.domains, mailboxes=mailboxes)
    post.clock.at = row.due
    assert await post.settled() == []
    (mail,) = await post.mail("small@one.test")
    assert mail.startswith(b"Return-Path: <alice@one.test>\r\nReceived: ")
    assert mail.count(b"Return-Path") == 1
    counters = await post.counters()
    assert (counters["accepted"], counters["delivered"]) == (2, 2)


async def test_over_quota_is_returned_at_the_next_try_where_full_mailboxes_reject(post) -> None:
    server = msgspec.structs.replace(post.snapshot.server, mailboxes=Policy(when_full="reject"))
    post.snapshot = msgspec.structs.replace(post.snapshot, server=server)
    await post.submit("small@one.test", "alice@one.test", data=b"From: alice@one.test\r\n\r\n" + b"x" * 2000)
    (row,) = await post.settled()
    post.clock.at = row.due
    assert await post.settled() == []
    _, notice = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Status"] == "5.2.2"
    counters = await post.counters()
    assert (counters["accepted"], counters["delivered"], counters["bounced"]) == (3, 2, 1)


async def test_dead_ends_are_told(post) -> None:
    await post.submit("alice@one.test", "nobody@one.test")
    assert await post.settled() == []
    _, notice = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Status"] == "5.1.1"
    counters = await post.counters()
    assert (counters["accepted"], counters["delivered"], counters["bounced"]) == (3, 2, 1)


async def test_a_domain_that_became_ours_is_delivered_here(post) -> None:
    from postrider.contract.model import Domain, Mailbox  # noqa: PLC0415

    post.zone.failing.add("far.test")
    await post.submit(to("x@far.test", Notify.SUCCESS))
    (row,) = await post.settled()
    post.snapshot = type(post.snapshot)(
        server=post.snapshot.server,
        domains=(*post.snapshot.domains, Domain(name="far.test")),
        mailboxes=(*post.snapshot.mailboxes, Mailbox(address="x@far.test")),
    )
    post.clock.at = row.due
    assert await post.settled() == []
    (mail,) = await post.mail("x@far.test")
    assert mail.startswith(b"Return-Path: <alice@one.test>\r\n")
    (notice,) = await post.mail("alice@one.test")
    assert report(notice)[0][1]["Action"] == "delivered"


async def test_a_lost_claim_stops_the_message_before_its_end(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit("x@far.test")

    taken = []

    def steal(line: str) -> str:
        if line == "DATA":
            post.clock.at += CLAIM_SECONDS + 1
        return ""

    sink.says = steal
    commit = post.store.writer.commit

    async def another_takes_it_first(txn: object) -> object:
        if type(txn).__name__ == "Renew" and not taken:
            claim = Claim(tuple(range(LANES)), int(post.clock.at), 600, 10)
            taken.extend(await commit(claim))
        return await commit(txn)

    post.store.writer.commit = another_takes_it_first
    (row,) = await post.settled(lambda rows: "queue.lost" in post.log.getvalue())
    assert sink.letters == []
    assert row.state == "claimed"
    assert row.epoch == taken[0].epoch


async def test_drain_finishes_what_is_being_sent_and_gives_back_the_rest(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go_on.wait()

    sink.before_final = hold
    for _ in range(12):
        await post.submit("x@far.test")
    runner = Runner(post.ports, range(LANES))
    running = asyncio.create_task(runner.run())
    await begun.wait()
    draining = asyncio.create_task(runner.drain())
    await asyncio.sleep(0.05)
    assert not draining.done()
    go_on.set()
    await asyncio.wait_for(draining, 30)
    await asyncio.wait_for(running, 30)
    rows = await post.store.reader.queue()
    assert len(sink.letters) + len(rows) == 12
    assert len(sink.letters) <= 5
    assert all(row.state == "ready" and row.due <= post.clock.at for row in rows)


async def test_a_store_that_fails_loses_nothing(post) -> None:
    """expected failures: the log shows them."""
    from postrider.store.transactions import Reason, StoreError  # noqa: PLC0415

    sink = await post.sink("192.0.2.1", domain="far.test")
    sink.says = lambda line: "550 5.1.1 no" if line.startswith("RCPT") else ""
    await post.submit("x@far.test")
    commit = post.store.writer.commit

    async def full(txn: object) -> object:
        if type(txn).__name__ == "Intake":
            raise StoreError(Reason.NO_SPACE, "expected")
        return await commit(txn)

    post.store.writer.commit = full
    (row,) = await post.settled()
    assert row.attempts == 1
    post.store.writer.commit = commit
    post.clock.at = row.due
    assert await post.settled() == []
    assert len(await post.mail("alice@one.test")) == 1


async def test_strangers_mail_goes_on_where_an_alias_leads(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    spool = post.ingest.begin(Source.MX)
    body = b"line of text\r\n" * 60_000
    await spool.write(b"Subject: big\r\n\r\n" + body)
    to_alias = Envelope(parse_address("z@else.test"), (to("out@one.test"),), peer=Peer("192.0.2.9", 1, "else.test"))
    assert (await post.ingest.finish(spool, Source.MX, to_alias)).code == 250
    assert await post.settled() == []
    (letter,) = sink.letters
    assert letter.mail.startswith("FROM:<z@else.test>")
    assert letter.data.endswith(b"Subject: big\r\n\r\n" + body)


async def test_what_a_dead_front_had_claimed_is_sent_by_its_successor(post) -> None:
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit("x@far.test")
    (row,) = await post.store.writer.commit(Claim(tuple(range(LANES)), int(post.clock.at), CLAIM_SECONDS, 10))
    assert row.state == "claimed"
    assert await post.settled(lambda rows: not rows) == []
    assert len(sink.letters) == 1


async def test_a_reader_that_fails_once_does_not_end_the_queue(post) -> None:
    """expected failures: the log shows them."""
    sink = await post.sink("192.0.2.1", domain="far.test")
    await post.submit("x@far.test")
    next_due, failures = post.store.reader.next_due, []

    async def broken(lanes: object) -> object:
        if not failures:
            failures.append(lanes)
            raise ZeroDivisionError("expected")
        return await next_due(lanes)

    post.store.reader.next_due = broken
    assert await post.settled(lambda rows: bool(failures) and not rows) == []
    await post.submit("x@far.test")
    assert await post.settled() == []
    assert len(sink.letters) == 2


async def test_drain_ends_when_nothing_can_be_given_back(post, monkeypatch) -> None:
    """expected failures: the log shows them."""
    monkeypatch.setattr("postrider.outbound.settle.PATIENCE", (0.01,))
    from postrider.store.transactions import Reason, Settle, StoreError  # noqa: PLC0415

    sink = await post.sink("192.0.2.1", domain="far.test")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await go_on.wait()

    sink.before_final = hold
    for _ in range(8):
        await post.submit("x@far.test")
    commit = post.store.writer.commit

    async def no_giving_back(txn: object) -> object:
        if isinstance(txn, Settle) and txn.settlements[0].outcome.value == "retry":
            raise StoreError(Reason.UNAVAILABLE, "expected")
        return await commit(txn)

    runner = Runner(post.ports, range(LANES))
    running = asyncio.create_task(runner.run())
    await begun.wait()
    post.store.writer.commit = no_giving_back
    go_on.set()
    async with asyncio.timeout(30):
        await runner.drain()
        await running
    assert 1 <= len(sink.letters) <= 5


async def test_something_unexpected_is_tried_again_later(post) -> None:
    """expected failures: the log shows them."""

    class Broken:
        async def dial(self, address: str, port: int, *, seconds: float) -> object:
            raise ZeroDivisionError("expected")

    post.zone.records["far.test", "A"] = ("192.0.2.1",)
    post.ports = replace(post.ports, dialer=Broken())
    await post.submit("x@far.test")
    (row,) = await post.settled()
    assert (row.attempts, row.last_reply[:9]) == (1, "451 4.3.0")
