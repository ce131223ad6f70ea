"""What is said while it lasts."""

import io

import pytest
from stored import StillClock

from postrider.ops.exchange import progress
from postrider.ops.exchange.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def worked(stream):
    clock = StillClock()
    done = Progress(stream, clock)
    done.begin(4 << 20)
    for _ in range(3):
        clock.seconds += 5
        done.advance(500, 1 << 20)
    done.complain("one is left out")
    done.end()
    return stream.getvalue()


def test_lines_where_nobody_looks():
    assert worked(io.StringIO()) == "1,000 messages, 2.0 Mi of 4.0 Mi, 100/s, 10 s left\none is left out\n"


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    first, second, third, *rest = worked(Terminal()).split("\r")[1:]
    assert first == "[######..................] 500 messages, 1.0 Mi of 4.0 Mi, 100/s, 15 s left"
    assert second.startswith("[############............] 1,000 messages")
    assert third.startswith("[##################......] 1,500 messages")
    assert (rest[0].strip(), rest[1]) == ("", "one is left out\n")


@pytest.mark.parametrize(
    ("columns", "bar"),
    [(76, "[######..................] "), (66, "[###...........] "), (57, "[#....] "), (56, ""), (20, "")],
)
def test_a_bar_never_fills_a_line(monkeypatch, columns, bar):
    monkeypatch.setenv("COLUMNS", str(columns))
    first = worked(Terminal()).split("\r")[1]
    assert first == f"{bar}500 messages, 1.0 Mi of 4.0 Mi, 100/s, 15 s left"[: columns - 1]


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 Ki"), (2.5 * 2**30, "2.5 Gi"), (9000 * 2**40, "9000.0 Ti")],
)
def test_sizes(octets, text):
    assert progress.size(octets) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
