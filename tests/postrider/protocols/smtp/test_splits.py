"""Split invariance is the law: any chunking of the input gives the same events, bodies and output."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Peer, Recipient
from postrider.model.reply import Reply
from postrider.protocols.buffer import Buffer
from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.protocols.smtp import events as e
from postrider.protocols.smtp.body import DotBody, DotStuffer, Purity
from postrider.protocols.smtp.client import Client, ClientConfig, Credentials, Tls
from postrider.protocols.smtp.server import Server, ServerConfig

SUITES = Path(os.environ.get("POSTRIDER_SUITES", Path(__file__).parents[5] / "shared" / "suites"))


def pieces(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def receive(data: Iterable[bytes], **options: object) -> tuple[list[object], bytes]:
    """What a server that takes everything sees and says; bodies joined, those of void messages dropped."""
    engine = Server(ServerConfig(hostname="mx.test", **options), Peer("192.0.2.1", 1))  # type: ignore[arg-type]
    seen: list[object] = []
    body, output = b"", b""
    for piece in (b"", *data, None):
        if piece is None:
            engine.feed(b"")
        elif piece:
            engine.feed(piece)
        while (event := engine.next_event()) is not NEED_DATA and not isinstance(event, Closed):
            match event:
                case e.Body(data=chunk):
                    body += chunk
                case e.Discarded():
                    seen.append(event)
                    body = b""
                case StartTls():
                    seen.append(event)
                    output += engine.take_output()
                    engine.tls_started()
                    # What the driver does: the rest of this piece, and all that came in clear, never gets here.
                    return seen, output
                case e.AuthAttempt(password=password):
                    seen.append((event, password))
                    good = password == "secret"
                    engine.answer_auth(Reply(235, "2.7.0", "ok") if good else Reply(535, "5.7.8", "no"), account="x")
                case _:
                    seen.append((event, body) if isinstance(event, e.EndOfMessage) else event)
                    refused = isinstance(event, e.RcptTo) and event.recipient.address.local == "nobody"
                    engine.answer(Reply(550, "5.1.1", "no") if refused else Reply(250, "2.0.0", "ok"))
                    body = b"" if isinstance(event, e.EndOfMessage) else body
        output += engine.take_output()
    return seen, output


OPENING = b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
WORDS = st.sampled_from(
    [
        *(b"\r\n", b"\r", b"\n", b".", b"\0", b".\r\n", b"\r\n.\r\n", b"..", b"x", b"hello world"),
        *(b"DATA\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"HELP\r\n", b"EHLO c.test\r\n", b"HELO c.test\r\n"),
        *(b"MAIL FROM:<a@b.test>\r\n", b"MAIL FROM:<> SIZE=9999\r\n", b"MAIL FROM:<a@b.test> BODY=BINARYMIME\r\n"),
        *(
            b"RCPT TO:<c@d.test>\r\n",
            b"RCPT TO:<nobody@d.test>\r\n",
            b"BDAT 4\r\n",
            b"BDAT 3 LAST\r\n",
            b"BDAT 0 LAST\r\n",
        ),
        *(b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n", b"AHVzZXIAc2VjcmV0\r\n", b"c2VjcmV0\r\n", b"*\r\n", b"STARTTLS\r\n"),
        *(b"y" * 300, b"z" * 2050, OPENING, OPENING + b"DATA\r\n"),
    ]
)
INPUT = st.lists(WORDS, max_size=24).map(b"".join)
PLACES = st.lists(st.integers(0, 1 << 16), max_size=12)


@settings(max_examples=150, deadline=None)
@given(INPUT, PLACES, st.booleans())
@example(OPENING + b"DATA\r\n.\r\n.\r\nQUIT\r\n", [60], False)
@example(OPENING + b"DATA\r\n\n\r\r\n.\r\n", [62], False)
@example(OPENING + b"DATA\r\n" + b"x" * 399 + b"\r\n\n.\r\n", [462], False)
@example(OPENING + b"DATA\r\n" + b"x\n" + b"x" * 399 + b"\r\n.\r\n", [462], False)
@example(OPENING + b"BDAT 4\r\nab\r\rBDAT 3 LAST\r\n\nxy", [66, 80], False)
def test_the_receiving_engine(data: bytes, places: list[int], submission: bool) -> None:
    options = {"max_size": 400, "submission": submission, "secured": submission, "tls_offered": not submission}
    whole = receive([data], **options)
    assert receive(pieces(data, places), **options) == whole
    assert receive((data[i : i + 1] for i in range(len(data))), **options) == whole


def deliver(data: Iterable[bytes], config: ClientConfig, body: bytes) -> tuple[list[object], bytes]:
    """What a client makes of the server's words: two messages, then QUIT."""
    engine = Client(config)
    todo = [
        Envelope(Address("a", "b.test"), (Recipient(Address("c", "d.test")), Recipient(Address("e", "f.test"))), 10),
        Envelope(None, (Recipient(Address("g", "h.test"), Notify.FAILURE, "rfc822;x"),), 5, ret="HDRS", envid="q"),
    ]
    chunks: list[bytes] = []
    seen: list[object] = []
    output = b""
    for piece in (*data, None):
        engine.feed(b"" if piece is None else piece)
        while (event := engine.next_event()) is not NEED_DATA and not isinstance(event, Closed):
            match event:
                case e.Ready():
                    chunks = [body, b""]
                    if todo:
                        engine.send(todo.pop(0))
                    else:
                        engine.quit()
                case e.WantBody():
                    engine.body(chunks.pop(0))
                case StartTls():
                    engine.tls_started()
                    return [*seen, event], output + engine.take_output()
            seen.append(event)
        output += engine.take_output()
    return seen, output


SAID = st.sampled_from(
    [
        *(b"220 hi\r\n", b"250 ok\r\n", b"250 2.1.0 ok\r\n", b"354 go\r\n", b"221 bye\r\n", b"235 in\r\n", b"334 \r\n"),
        *(
            b"550 5.1.1 no\r\n",
            b"550-5.1.1 no\r\n550 5.1.1 really\r\n",
            b"451 later\n",
            b"421 4.3.2 going\r\n",
            b"503 what\r\n",
        ),
        *(
            b"250-x\r\n250-PIPELINING\r\n250-SIZE 100\r\n250 DSN\r\n",
            b"250-x\r\n250-CHUNKING\r\n250 AUTH PLAIN LOGIN\r\n",
        ),
        *(b"250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n", b"250-x\r\n250 STARTTLS\r\n"),
        *(b"\r\n", b"garbage\r\n", b"2", b"250", b"\r", b"\n", b"q" * 5000),
    ]
)
CONFIGS = st.sampled_from(
    [
        ClientConfig("me.test", Tls.NEVER),
        ClientConfig("me.test", Tls.REQUIRED),
        ClientConfig("me.test"),
        ClientConfig("me.test", Tls.IMPLICIT, Credentials("u", "p"), chunking=True),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(SAID, max_size=20).map(b"".join), PLACES, CONFIGS, st.sampled_from([b"", b"x\r\n", b"x\ny", b".\r\n"]))
def test_the_sending_engine(data: bytes, places: list[int], config: ClientConfig, body: bytes) -> None:
    whole = deliver([data] if data else [], config, body)
    assert deliver(pieces(data, places), config, body) == whole
    assert deliver((data[i : i + 1] for i in range(len(data))), config, body) == whole


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"\r\n.", b"\r"]), max_size=30).map(b"".join), PLACES, PLACES
)
def test_stuffing_and_unstuffing_give_the_same_bytes(body: bytes, out: list[int], back: list[int]) -> None:
    body = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    stuffer = DotStuffer()
    wire = b"".join(stuffer.encode(piece) for piece in pieces(body, out)) + stuffer.end()
    assert b"\r\n.\r\n" not in (b"\r\n" + wire)[:-1]
    reader, buffer, found = DotBody(), Buffer(), b""
    for piece in pieces(wire + b"QUIT\r\n", back):
        buffer.feed(piece)
        while not reader.done and (chunk := reader.read(buffer)):
            found += chunk
    assert reader.done
    assert found == body
    assert buffer.take(100) == b"QUIT\r\n"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"\0", b"abc", b"abcdefghij"]), max_size=20).map(b"".join), PLACES
)
def test_purity_is_a_property_of_the_whole(body: bytes, places: list[int]) -> None:
    def judge(parts: list[bytes]) -> bool:
        purity = Purity(15)
        return all(purity.check(part) for part in parts) and purity.finish()

    lines = body.replace(b"\r\n", b"\n").split(b"\n") if b"\r" not in body.replace(b"\r\n", b"") else []
    bare_lf = b"\n" in body.replace(b"\r\n", b"")
    good = bool(lines) and not bare_lf and b"\0" not in body and all(len(line) < 15 for line in lines)
    verdict = judge(pieces(body, places))
    assert verdict == judge(pieces(body, []))
    if good:
        assert verdict
    elif not lines or bare_lf or b"\0" in body:
        assert not verdict


@pytest.mark.skipif(not (SUITES / "smtp-smuggling").is_dir(), reason=f"no suite at {SUITES}/smtp-smuggling")
def test_no_false_end_of_data_ends_a_message() -> None:
    suite = json.loads((SUITES / "smtp-smuggling" / "eod_sequences.json").read_text())
    smuggled = b"MAIL FROM:<evil@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
    for name in ("false_eod", "contains_true_eod", "outbound_false_eod"):
        for sequence in suite[name]:
            data = OPENING + b"DATA\r\nSubject: outer\r\n\r\ntext" + sequence.encode("latin-1") + smuggled
            for places in ([], range(len(data)), range(0, len(data), 7)):
                seen, output = receive(pieces(data, places))
                messages = [item for item in seen if isinstance(item, tuple)]
                limit = 2 if name == "contains_true_eod" else 1
                assert len(messages) < limit, (sequence, messages)
                for _, body in messages:
                    bare = body.replace(b"\r\n", b"")
                    assert not {b"\r", b"\n", b"\0"} & {bytes([octet]) for octet in bare}
                if name != "contains_true_eod":
                    assert b"550 5.6.0" in output
