"""The operator's log: one JSON line an event on stderr, its own and those of the libraries it runs; never a secret."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

#: What a LogRecord has anyway; everything else was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: What libraries attach to their records that is no concern of a reader (kopf: the object's reference and settings).
_NOISE = frozenset({"k8s_skip", "k8s_ref", "settings"})


class JsonLines(logging.Formatter):
    """A record as one JSON object: ts, level, event, logger, the extra fields, and the stack of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD | _NOISE})
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def start(level: str) -> None:
    """Log to stderr from `level` ("debug" ... "error") on; libraries only from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("postrider_operator").setLevel(level.upper())
