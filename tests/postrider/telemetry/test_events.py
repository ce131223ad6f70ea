"""Events: one JSON line each, with its stack where one is asked for, and nothing that a terminal would obey."""

import io
import json
import logging
import re

import pytest

from postrider.telemetry.events import Events


@pytest.fixture
def log():
    return io.StringIO()


def test_an_event_is_one_line_with_its_context(log):
    Events(log, role="front-0").emit("smtp.accepted", id="x", size=3, path=io)
    (line,) = log.getvalue().splitlines()
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", told.pop("timestamp"))
    assert told == {"role": "front-0", "level": "info", "event": "smtp.accepted", "id": "x", "size": 3, "path": str(io)}


def test_a_stranger_writes_no_line_and_no_escape_sequence(log):
    Events(log).emit("login.failed", login="a\n{}\x1b[2J\x9b2J\u2028\udc80", ip="192.0.2.1")
    (line,) = log.getvalue().splitlines()
    assert line.isprintable()
    assert line.isascii()


@pytest.mark.parametrize("given", [True, ZeroDivisionError("expected")])
def test_the_stack_comes_along(log, given):
    try:
        raise ZeroDivisionError("expected")
    except ZeroDivisionError:
        Events(log).emit("server.failure", exc_info=given)
    assert json.loads(log.getvalue())["exception"].endswith("ZeroDivisionError: expected")


def test_levels_below_are_silent(log):
    events = Events(log, level=logging.WARNING)
    events.emit("smtp.accepted")
    assert log.getvalue() == ""
    events.emit("login.failed")
    assert json.loads(log.getvalue())["level"] == "warning"


def test_an_event_without_a_row_is_a_mistake(log):
    with pytest.raises(KeyError):
        Events(log).emit("no.such")


def test_a_log_nobody_reads_ends_nothing():
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    Events(Broken()).emit("server.start", pid=1)


def test_half_a_surrogate_pair_is_no_obstacle(log):
    Events(log).emit("smtp.refused", address="a\udce9@b.test")
    (line,) = log.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["address"] == "a\udce9@b.test"
