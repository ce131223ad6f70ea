r"""Transcripts: conversations as text files, the same format for every line protocol.

A file is `transcripts/<protocol>/<behaviour>.txt`; each of its lines is one of

    # why this must be so
    % key value          how the scene is set, for the test module's `scene` function
    C: text              the client sends text and CRLF
    C! text              the client sends text as it is
    S: text              the server sends this line; `...` stands for anything
    E: text              the session noted this (an event that has no words on the wire)
    TLS                  the handshake takes place
    EOF                  the client sends no more
    END                  the server closes the connection

with the escapes \r \n \0 \\ \xNN \t and \{N*text}, text N times, in C and S lines.

A test module says PROTOCOL = "smtp", has a function scene(settings) that makes a session (edge.session.Session with
a list `notes` of strings), and tests that ask for `transcript` and `play` or `play_over_socket`:
each transcript is then played whole, byte by byte, at random splits and over a real socket.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
import trustme

from postrider.contract.model import Limits
from postrider.edge.driver import Connection
from postrider.edge.listener import Admission, Bind, Listener, Surroundings
from postrider.edge.session import Session
from postrider.protocols.engine import NEED_DATA, Closed, StartTls
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

FOLDER = Path(__file__).parent / "transcripts"
SEEDS = range(8)

_ESCAPE = re.compile(r"\\(?:([rn0t\\])|x([0-9a-fA-F]{2})|\{(\d+)\*((?:[^}\\]|\\.)*)\})")
_SIGNS = {"r": "\r", "n": "\n", "0": "\0", "t": "\t", "\\": "\\"}


class Noting(Session, Protocol):
    """A session that keeps what it was told."""

    notes: list[str]


@dataclass(frozen=True)
class Step:
    line: int
    kind: str
    data: bytes = b""


@dataclass(frozen=True)
class Transcript:
    name: str
    settings: dict[str, str]
    steps: tuple[Step, ...]

    def of(self, kind: str) -> list[Step]:
        return [step for step in self.steps if step.kind == kind]

    def __str__(self) -> str:
        return self.name


@dataclass
class Played:
    """What a play gave."""

    output: bytes = b""
    notes: list[str] = field(default_factory=list)
    closed: bool = False


def load(path: Path) -> Transcript:
    settings: dict[str, str] = {}
    steps: list[Step] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match text[:2]:
            case "# " | "#" | "":
                continue
            case "% ":
                key, _, value = text[2:].partition(" ")
                settings[key] = value
            case "E:":
                steps.append(Step(number, "E:", text[3:].encode()))
            case "C:" | "C!" | "S:":
                data = _unescaped(text[3:])
                steps.append(Step(number, text[:2], data + b"\r\n" if text[:2] == "C:" else data))
            case _ if text in ("TLS", "EOF", "END"):
                steps.append(Step(number, text))
            case _:
                raise ValueError(f"{path}:{number}: not a line of a transcript: {text!r}")
    return Transcript(path.stem, settings, tuple(steps))


def _unescaped(text: str) -> bytes:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            return _SIGNS[match[1]]
        if match[2]:
            return chr(0xDC00 + int(match[2], 16)) if int(match[2], 16) > 127 else chr(int(match[2], 16))
        return _unescaped(match[4]).decode("utf-8", "surrogateescape") * int(match[3])

    return _ESCAPE.sub(one, text).encode("utf-8", "surrogateescape")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "transcript" in metafunc.fixturenames:
        paths = sorted((FOLDER / metafunc.module.PROTOCOL).glob("*.txt"))
        metafunc.parametrize("transcript", [load(path) for path in paths], ids=[path.stem for path in paths])


def converse(session: Noting, pieces: Iterator[bytes], played: Played) -> bool:
    """Feed the pieces to the engine; True when it came to a STARTTLS."""
    secured = False
    for piece in (b"", *pieces):
        if piece:
            session.engine.feed(piece)
        secured = _pump(session, played) or secured
    return secured


def _pump(session: Noting, played: Played) -> bool:
    secured = False
    while not played.closed:
        event = session.engine.next_event()
        if event is NEED_DATA:
            break
        if isinstance(event, Closed):
            played.closed = True
        elif isinstance(event, StartTls):
            secured = True
        else:
            waiting = session.handle(event)
            assert waiting is None, "the scene of a transcript answers at once"
    played.output += session.engine.take_output()
    return secured


def cuts(data: bytes, mode: str) -> list[bytes]:
    """The data in pieces: "whole", "bytes", or a seed for random ones."""
    if mode == "whole":
        return [data] if data else []
    if mode == "bytes":
        size = 1 + len(data) // 5_000  # in a megabyte, a few hundred at a time
        return [data[i : i + size] for i in range(0, len(data), size)]
    source = random.Random(mode)
    places = sorted(source.randrange(len(data) + 1) for _ in range(source.randint(1, 12)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


def play_engine(transcript: Transcript, session: Noting, mode: str) -> Played:
    played = Played()
    pending = b""
    for step in (*transcript.steps, Step(0, "last")):
        if step.kind in ("C:", "C!"):
            pending += step.data
        elif step.kind in ("TLS", "EOF", "last"):
            secured = converse(session, iter(cuts(pending, mode)), played)
            pending = b""
            if step.kind == "TLS":
                assert secured, f"{transcript.name}:{step.line}: no STARTTLS before this"
                session.engine.tls_started()
            elif step.kind == "EOF":
                session.engine.feed(b"")
            _pump(session, played)
    played.notes = session.notes
    return played


def check(transcript: Transcript, played: Played) -> None:
    expected = transcript.of("S:")
    lines = played.output.split(b"\r\n")
    assert lines.pop() == b"", "output ends in the middle of a line"
    for step, line in zip(expected, lines, strict=False):
        assert _matches(step.data, line), f"{transcript.name}:{step.line}: expected {step.data!r}, got {line!r}"
    assert [step.data for step in expected[len(lines) :]] == [], "the server did not say this"
    assert lines[len(expected) :] == [], "the server said more"
    _check_notes(transcript, played)


def _check_notes(transcript: Transcript, played: Played) -> None:
    notes = [step.data.decode() for step in transcript.of("E:")]
    if notes:
        assert played.notes == notes
    assert played.closed == bool(transcript.of("END")), "END stands where the server closes, and only there"


def _matches(pattern: bytes, line: bytes) -> bool:
    return re.fullmatch(b".*".join(map(re.escape, pattern.split(b"..."))), line, re.DOTALL) is not None


@pytest.fixture
def play() -> Callable[[Transcript, Callable[[dict[str, str]], Noting]], None]:
    """Play a transcript against the engine alone, cut in every way."""

    def run(transcript: Transcript, scene: Callable[[dict[str, str]], Noting]) -> None:
        for mode in ("whole", "bytes", *(f"{transcript.name}/{seed}" for seed in SEEDS)):
            check(transcript, play_engine(transcript, scene(transcript.settings), mode))

    return run


# -- over a real socket --------------------------------------------------------------------------------------------


class Stage:
    """A service with one session, whose greeting and events are the transcript's."""

    name = "transcript"
    busy = b""

    def __init__(self, session: Noting) -> None:
        self.session = session

    def open(self, link: Connection) -> Noting:
        return self.session


@pytest.fixture(scope="session")
def stage_tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def play_over_socket(
    stage_tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> Callable[[Transcript, Callable[[dict[str, str]], Noting]], Awaitable[None]]:
    """Play a transcript line by line through the driver, as a client would."""

    async def run(transcript: Transcript, scene: Callable[[dict[str, str]], Noting]) -> None:
        session = scene(transcript.settings)
        surroundings = Surroundings(Events(io.StringIO()), Metrics(), Admission(Limits))
        listener = Listener(Bind("127.0.0.1", 0, lambda: stage_tls[0]), Stage(session), surroundings)
        await listener.start()
        played = Played(notes=session.notes)
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection(*listener.address, limit=1 << 20)
                await _converse_over(reader, writer, transcript, stage_tls[1])
                played.closed = bool(transcript.of("END")) and await reader.read() == b""
                writer.close()
        finally:
            await listener.drain(1)
        _check_notes(transcript, played)

    return run


async def _converse_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transcript: Transcript, tls: ssl.SSLContext
) -> None:
    for step in transcript.steps:
        match step.kind:
            case "C:" | "C!":
                writer.write(step.data)
            case "S:":
                line = (await reader.readline()).removesuffix(b"\r\n")
                assert _matches(step.data, line), f"{transcript.name}:{step.line}: expected {step.data!r}, got {line!r}"
            case "TLS":
                await writer.start_tls(tls, server_hostname="localhost")
            case "EOF":
                writer.write_eof()
            case _:
                pass
