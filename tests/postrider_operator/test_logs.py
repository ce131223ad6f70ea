"""Log lines are JSON with the fields that were given."""

import json
import logging
import sys

from postrider_operator.logs import JsonLines


def line(**extra: object) -> dict[str, object]:
    record = logging.getLogger("postrider_operator.x").makeRecord(
        "postrider_operator.x", logging.WARNING, __file__, 1, "informer %s", ("failed",), None, extra=extra
    )
    found: dict[str, object] = json.loads(JsonLines().format(record))
    return found


def test_a_line_has_what_is_needed_and_the_fields_given() -> None:
    found = line(path="/api/v1/pods", error=ValueError("why"))
    assert found.pop("ts")
    assert found == {
        "level": "warning",
        "event": "informer failed",
        "logger": "postrider_operator.x",
        "path": "/api/v1/pods",
        "error": "why",
    }


def test_an_exception_brings_its_stack() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        record = logging.makeLogRecord({"msg": "reconcile failed", "exc_info": sys.exc_info()})
    assert "RuntimeError: broken" in json.loads(JsonLines().format(record))["stack"]
