"""Any chunking of the input gives the same events and output."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.protocols.imap import events as e
from postrider.protocols.imap.conversation import ServerConfig
from postrider.protocols.imap.responses import Status
from postrider.protocols.imap.server import Server

LINES = st.sampled_from(
    [
        b"LOGIN a b",
        b"LOGIN {1+}\r\na {1}\r\nb",
        b"AUTHENTICATE PLAIN\r\nAGEAYg==",
        b"SELECT INBOX",
        b"FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From To)]<0.10>)",
        b"UID SEARCH RETURN (COUNT) OR SUBJECT {3+}\r\na b NOT SEEN",
        b"APPEND x (\\Seen) {4+}\r\n\r\nab {2+}\r\ncd",
        b"APPEND no {4+}\r\n\r\nab {2+}\r\ncd",
        b"APPEND x {3000+}\r\n" + b"z" * 3000,
        b"APPEND x {2}\r\nab",
        b"APPEND {1+}\r\nx {2}\r\nab junk",
        b"IDLE\r\nDONE",
        b"IDLE\r\nx NOOP",
        b"CREATE {99999}",
        b"CREATE {70000+}\r\n" + b"y" * 70000,
        b"ENABLE IMAP4REV2",
        b"STARTTLS",
        b"NOOP",
        b"LOGOUT",
        b"BOGUS",
        b"",
    ]
)
NOISE = st.binary(max_size=40)


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    pieces = []
    for number, line in enumerate(draw(st.lists(LINES, max_size=12))):
        pieces.append(b"t%d %b\r\n" % (number, line))
    pieces.append(draw(NOISE))
    return b"".join(pieces)


def play(data: Iterator[bytes]) -> tuple[list[object], bytes]:
    engine = Server(ServerConfig("mail.test", secure=True, append_limit=1000))
    seen: list[object] = []
    output = b""
    for piece in data:
        engine.feed(piece)
        while (event := engine.next_event()) is not NEED_DATA:
            _answer(engine, event, seen)
            output += engine.take_output()
            if isinstance(event, Closed):
                return seen, output
        output += engine.take_output()
    return seen, output


def _answer(engine: Server, event: object, seen: list[object]) -> None:
    if isinstance(event, e.AppendChunk) and seen and isinstance(seen[-1], bytes):
        seen[-1] += event.data
        return
    seen.append(event.data if isinstance(event, e.AppendChunk) else event)
    match event:
        case e.Credentials():
            engine.login(accepted=True)
        case e.AppendMessage("no"):
            engine.answer(Status.NO, "no")
        case e.AppendMessage():
            engine.accept_literal()
        case e.AppendChunk() | e.AppendAborted() | e.Idle() | StartTls() | Closed():
            pass
        case e.Select():
            engine.select(selected=True)
            engine.answer(Status.OK, "ok")
        case _:
            engine.answer(Status.OK, "ok")


@settings(max_examples=150, deadline=None)
@given(conversations(), st.lists(st.integers(0, 1 << 18), max_size=12))
def test_chunks_do_not_matter(data: bytes, cuts: list[int]) -> None:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]
    assert play(iter([*pieces, b""])) == play(iter([data, b""]) if data else iter([b""]))


@settings(max_examples=30, deadline=None)
@given(conversations().filter(lambda data: len(data) < 5000))
def test_byte_by_byte(data: bytes) -> None:
    assert play(iter([*(data[i : i + 1] for i in range(len(data))), b""])) == play(iter([data, b""] if data else [b""]))
