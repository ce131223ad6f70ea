"""The sending engine against servers of every temper, and against the receiving one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Peer, Recipient
from postrider.model.reply import Reply
from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.protocols.smtp import events as e
from postrider.protocols.smtp.client import Client, ClientConfig, Credentials, Tls
from postrider.protocols.smtp.offer import ServerConfig
from postrider.protocols.smtp.server import Server

ONE = Recipient(Address("one", "d.test"))
TWO = Recipient(Address("two", "d.test"))
CLEAR = ClientConfig("me.test", Tls.NEVER)
PIPELINING = b"250-x\r\n250-PIPELINING\r\n250 SIZE\r\n"
OPENED = b"220 hi\r\n" + PIPELINING


class Talk:
    """A client and the words of its server."""

    def __init__(self, config: ClientConfig = CLEAR, opening: bytes = b"") -> None:
        self.client = Client(config)
        self.sent = b""
        if opening:
            self.hear(opening)
            self.sent = b""

    def hear(self, data: bytes) -> list[object]:
        """What happens when the server says this; bodies are left to the test."""
        self.client.feed(data)
        return self.events()

    def events(self) -> list[object]:
        found: list[object] = []
        while not (found and isinstance(found[-1], e.Ready | e.WantBody | Closed | StartTls)):
            event = self.client.next_event()
            if event is NEED_DATA:
                break
            found.append(event)
        self.sent += self.client.take_output()
        return found

    def send(self, *recipients: Recipient, **fields: object) -> list[object]:
        self.client.send(Envelope(Address("me", "a.test"), recipients, **fields))  # type: ignore[arg-type]
        return self.events()

    def body(self, *chunks: bytes) -> list[object]:
        events: list[object] = []
        for chunk in (*chunks, b""):
            self.client.body(chunk)
            events = self.events()
        return events


def codes(events: Sequence[object]) -> list[int]:
    outcome = next(event for event in events if isinstance(event, e.Outcome))
    return [reply.code for reply in outcome.replies]


def test_one_flight_of_commands_with_pipelining() -> None:
    talk = Talk(opening=OPENED)
    assert talk.send(ONE, TWO, size=7) == []
    assert talk.sent == b"MAIL FROM:<me@a.test> SIZE=7\r\nRCPT TO:<one@d.test>\r\nRCPT TO:<two@d.test>\r\nDATA\r\n"
    talk.sent = b""
    assert talk.hear(b"250 ok\r\n250 ok\r\n550 5.1.1 who\r\n354 go\r\n") == [e.WantBody()]
    assert talk.body(b".x\r\n.", b".\r\n") == []
    assert talk.sent == b"..x\r\n...\r\n.\r\n"
    outcome, ready = talk.hear(b"250 2.0.0 queued as 7\r\n")
    assert outcome == e.Outcome((Reply(250, "2.0.0", "queued as 7"), Reply(550, "5.1.1", "who")))
    assert isinstance(ready, e.Ready)


def test_a_command_at_a_time_without_pipelining() -> None:
    talk = Talk(opening=b"220 hi\r\n250 x\r\n")
    talk.send(ONE)
    assert talk.sent == b"MAIL FROM:<me@a.test>\r\n"
    talk.hear(b"250 ok\r\n")
    assert talk.sent.endswith(b"RCPT TO:<one@d.test>\r\n")
    assert codes(talk.hear(b"452 4.2.2 full\r\n")) == [452]
    assert b"DATA" not in talk.sent


def test_all_recipients_refused_and_the_server_wants_data_all_the_same() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    assert talk.hear(b"250 ok\r\n550 no\r\n354 go\r\n") == []
    assert talk.sent.endswith(b"DATA\r\n.\r\n")
    assert codes(talk.hear(b"554 no valid recipients\r\n")) == [550]


def test_the_next_message_begins_with_rset_only_where_one_is_needed() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.body(b"x\r\n")
    assert codes(talk.hear(b"250 ok\r\n")) == [250]
    talk.sent = b""
    talk.send(ONE)
    assert talk.sent.startswith(b"MAIL ")
    assert codes(talk.hear(b"550 5.7.1 you again\r\n503 what\r\n503 what\r\n")) == [550]
    talk.sent = b""
    talk.send(ONE)
    assert talk.sent.startswith(b"RSET\r\nMAIL ")


def test_success_is_only_what_is_2xx() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.body()
    assert codes(talk.hear(b"354 go on\r\n")) == [450]
    talk.send(ONE)
    assert codes(talk.hear(b"250 ok\r\n250 ok\r\n250 ok\r\n250 no 354\r\n")) == [450]


def test_421_ends_the_connection_with_its_own_words() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE, TWO)
    outcome, closed = talk.hear(b"250 ok\r\n421 4.3.2 going down\r\n")
    assert outcome == e.Outcome((Reply(421, "4.3.2", "going down"),) * 2)
    assert isinstance(closed, Closed)


@pytest.mark.parametrize("end", ["eof", "timeout"])
def test_silence_after_the_final_dot_is_an_uncertain_end(end: str) -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.body(b"x\r\n")
    assert talk.client.timeout == 600
    if end == "eof":
        talk.client.feed(b"")
    else:
        talk.client.timed_out()
    (outcome, closed) = talk.events()
    assert isinstance(outcome, e.Outcome)
    assert outcome.uncertain
    assert outcome.replies[0].code == 450
    assert isinstance(closed, Closed)


def test_an_end_in_the_middle_of_the_body_is_certain() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.client.body(b"half")
    talk.client.feed(b"")
    outcome, _ = talk.events()
    assert isinstance(outcome, e.Outcome)
    assert not outcome.uncertain


@pytest.mark.parametrize("bad", [b"one\ntwo\r\n", b"one\rtwo\r\n", b"nul\0\r\n"])
def test_nothing_that_smuggles_is_completed(bad: bytes) -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.client.body(bad)
    outcome, closed = talk.events()
    assert isinstance(outcome, e.Outcome)
    assert outcome.replies[0].enhanced == "5.6.0"
    assert isinstance(closed, Closed)
    assert b"\r\n.\r\n" not in talk.sent


def test_a_line_without_end_gets_one() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.hear(b"250 ok\r\n250 ok\r\n354 go\r\n")
    talk.sent = b""
    talk.body(b"no end")
    assert talk.sent == b"no end\r\n.\r\n"


def test_dsn_parameters_go_to_those_who_understand_them() -> None:
    recipient = Recipient(Address("one", "d.test"), Notify.SUCCESS | Notify.DELAY, "rfc822;One+3D@d.test")
    talk = Talk(opening=OPENED)
    talk.send(recipient, ret="HDRS", envid="QQ1")
    assert b"RET" not in talk.sent
    assert b"NOTIFY" not in talk.sent
    talk = Talk(opening=b"220 hi\r\n250-x\r\n250-PIPELINING\r\n250 DSN\r\n")
    talk.send(recipient, ret="HDRS", envid="QQ1")
    assert b"MAIL FROM:<me@a.test> RET=HDRS ENVID=QQ1\r\n" in talk.sent
    assert b"RCPT TO:<one@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;One+3D@d.test\r\n" in talk.sent


def test_international_addresses() -> None:
    talk = Talk(opening=OPENED)
    assert codes(talk.send(Recipient(Address("用户", "d.test")), smtputf8=True)) == [550]
    talk = Talk(opening=OPENED)
    talk.send(Recipient(Address("one", "bücher.test")))
    assert b"RCPT TO:<one@xn--bcher-kva.test>" in talk.sent
    talk = Talk(opening=b"220 hi\r\n250-x\r\n250 SMTPUTF8\r\n")
    talk.send(Recipient(Address("用户", "bücher.test")), smtputf8=True)
    talk.hear(b"250 ok\r\n")
    assert "RCPT TO:<用户@bücher.test>".encode() in talk.sent


def test_binary_goes_by_bdat_or_not_at_all() -> None:
    talk = Talk(opening=OPENED)
    assert codes(talk.send(ONE, body="BINARYMIME")) == [554]
    talk = Talk(opening=b"220 hi\r\n250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n")
    talk.send(ONE, TWO, body="BINARYMIME")
    assert talk.sent == b"MAIL FROM:<me@a.test> BODY=BINARYMIME\r\nRCPT TO:<one@d.test>\r\nRCPT TO:<two@d.test>\r\n"
    talk.sent = b""
    assert talk.hear(b"250 ok\r\n250 ok\r\n550 no\r\n") == [e.WantBody()]
    talk.body(b"a\nb", b"c\0")
    assert talk.sent == b"BDAT 3\r\na\nbBDAT 2\r\nc\0BDAT 0 LAST\r\n"
    assert codes(talk.hear(b"250 ok\r\n250 ok\r\n250 done\r\n")) == [250, 550]


def test_a_refused_chunk_stops_the_body() -> None:
    talk = Talk(ClientConfig("me.test", Tls.NEVER, chunking=True), b"220 hi\r\n250-x\r\n250 CHUNKING\r\n")
    talk.send(ONE)
    talk.hear(b"250 ok\r\n")
    assert talk.hear(b"250 ok\r\n") == [e.WantBody()]
    talk.client.body(b"abc")
    talk.events()
    assert codes(talk.hear(b"552 5.3.4 too big\r\n")) == [552]
    assert b"LAST" not in talk.sent


def test_starttls_where_offered_and_what_was_said_before_is_forgotten() -> None:
    talk = Talk(ClientConfig("me.test"))
    assert talk.hear(b"220 hi\r\n250-x\r\n250-EVIL\r\n250 STARTTLS\r\n") == []
    assert talk.sent == b"EHLO me.test\r\nSTARTTLS\r\n"
    assert talk.hear(b"220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n") == [StartTls()]
    talk.client.tls_started()
    (ready,) = talk.hear(b"250 x\r\n")
    assert ready == e.Ready({}, secured=True)


def test_required_tls_is_required() -> None:
    talk = Talk(ClientConfig("me.test", Tls.REQUIRED))
    failed, closed = talk.hear(b"220 hi\r\n250 x\r\n")
    assert isinstance(failed, e.Failed)
    assert (failed.stage, failed.reply.code) == ("starttls", 454)
    assert isinstance(closed, Closed)
    talk = Talk(ClientConfig("me.test", Tls.REQUIRED))
    (failed, _) = talk.hear(b"220 hi\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n")
    assert isinstance(failed, e.Failed)
    assert failed.reply.code == 454


def test_opportunistic_tls_goes_on_in_clear_and_old_servers_get_helo() -> None:
    talk = Talk(ClientConfig("me.test"))
    (ready,) = talk.hear(b"220 hi\r\n250-x\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n")
    assert isinstance(ready, e.Ready)
    assert not ready.secured
    talk = Talk(ClientConfig("me.test"))
    (ready,) = talk.hear(b"220 hi\r\n500 what\r\n250 x\r\n")
    assert isinstance(ready, e.Ready)
    assert talk.sent == b"EHLO me.test\r\nHELO me.test\r\n"


@pytest.mark.parametrize("offer", [b"PLAIN", b"LOGIN"])
def test_logins_under_tls(offer: bytes) -> None:
    config = ClientConfig("me.test", Tls.IMPLICIT, Credentials("tim", "secret"))
    talk = Talk(config)
    talk.hear(b"220 hi\r\n250-x\r\n250 AUTH " + offer + b"\r\n")
    if offer == b"LOGIN":
        talk.hear(b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n")
        assert talk.sent == b"EHLO me.test\r\nAUTH LOGIN\r\ndGlt\r\nc2VjcmV0\r\n"
    else:
        assert talk.sent == b"EHLO me.test\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"
    (ready,) = talk.hear(b"235 ok\r\n")
    assert isinstance(ready, e.Ready)
    assert "secret" not in repr(config)


def test_no_password_in_clear_and_none_where_it_is_refused() -> None:
    talk = Talk(ClientConfig("me.test", Tls.NEVER, Credentials("tim", "secret")))
    failed, _ = talk.hear(b"220 hi\r\n250-x\r\n250 AUTH PLAIN\r\n")
    assert isinstance(failed, e.Failed)
    assert failed.stage == "auth"
    assert b"AUTH" not in talk.sent
    talk = Talk(ClientConfig("me.test", Tls.IMPLICIT, Credentials("tim", "secret")))
    failed, _ = talk.hear(b"220 hi\r\n250-x\r\n250 AUTH PLAIN\r\n535 5.7.8 no\r\n")
    assert isinstance(failed, e.Failed)
    assert failed.reply == Reply(535, "5.7.8", "no")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (b"554 5.7.1 go away\r\n", 554),
        (b"421 busy\r\n", 421),
        (b"HTTP/1.1 400\r\n", 450),
        (b"x" * 5000, 450),
        (b"", 450),
    ],
)
def test_servers_that_do_not_want_us(words: bytes, code: int) -> None:
    failed, closed = Talk().hear(words)
    assert isinstance(failed, e.Failed)
    assert (failed.stage, failed.reply.code) == ("connect", code)
    assert isinstance(closed, Closed)


def test_several_lines_and_enhanced_codes() -> None:
    talk = Talk(opening=OPENED)
    talk.send(ONE)
    talk.client.feed(b"550-5.7.1 read\r\n550 5.7.1 this\n503 no\r\n503 no\r\n")
    (outcome, _) = talk.events()
    assert outcome == e.Outcome((Reply(550, "5.7.1", "read\nthis"),))
    talk.send(ONE)
    talk.hear(b"250 ok\r\n")
    (outcome, _) = talk.hear(b"450 greylisted\r\n503 no\r\n503 no\r\n")
    assert outcome == e.Outcome((Reply(450, "4.0.0", "greylisted"),))


def test_quitting() -> None:
    talk = Talk(opening=OPENED)
    talk.client.quit()
    assert talk.events() == []
    assert talk.sent == b"QUIT\r\n"
    assert isinstance(talk.hear(b"221 bye\r\n")[0], Closed)


@pytest.mark.parametrize("chunking", [False, True])
def test_our_own_two_engines_understand_each_other(chunking: bool) -> None:
    client = Client(ClientConfig("me.test", Tls.NEVER, chunking=chunking))
    server = Server(ServerConfig("mx.test"), Peer("192.0.2.1", 1))
    message = b"Subject: x\r\n\r\n.\r\n..\r\n" + b"z" * 3000 + b"\r\n"
    chunks = [message[:20], message[20:], b""]
    got: list[tuple[Envelope, bytes]] = []
    received, sent, closed = b"", 0, False
    while not closed:
        event = server.next_event()
        while event is not NEED_DATA and not isinstance(event, Closed):
            match event:
                case e.Body(data):
                    received += data
                case e.EndOfMessage(envelope):
                    got.append((envelope, received))
                    received = b""
                    server.answer(Reply(250, "2.0.0", "ok"))
                case _:
                    server.answer(Reply(250, "", "ok"))
            event = server.next_event()
        client.feed(server.take_output())
        while (event := client.next_event()) is not NEED_DATA:
            match event:
                case e.Ready() if sent < 2:
                    sent += 1
                    todo = list(chunks)
                    client.send(Envelope(Address("me", "a.test"), (ONE, TWO), len(message), envid="Q+2B", ret="FULL"))
                case e.Ready():
                    client.quit()
                case e.WantBody():
                    client.body(todo.pop(0))
                case e.Outcome(replies):
                    assert [reply.code for reply in replies] == [250, 250]
                case Closed():
                    closed = True
                    break
        output = client.take_output()
        if output:
            server.feed(output)
    assert [body for _, body in got] == [message, message]
    assert got[0][0].recipients == (ONE, TWO)
    assert (got[0][0].envid, got[0][0].ret, got[0][0].size) == ("Q+2B", "FULL", len(message))
