"""Dates as From_ lines and Date fields have them. Pure; what is no date is None."""

from __future__ import annotations

import datetime
import re

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# RFC 5322 §4.3; military letters say nothing.
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_ZONE = r"(?P<zone%d>[+-]\d{4}|[A-Z]{1,5})"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
_ASCTIME = re.compile(
    rf"(?:(?:{'|'.join(_DAYS)}),?\s+)?{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+{_TIME}(?:\s+{_ZONE % 1})?\s+(?P<year>\d{{4}})"
    rf"(?:\s+{_ZONE % 2})?\s*",
    re.ASCII,
)
_FIELD = re.compile(
    rf"\s*(?:[A-Za-z]{{3}}\s*,\s*)?(?P<day>\d{{1,2}})\s+{_MONTH}\s+(?P<year>\d{{4}})\s+{_TIME}(?:\s+{_ZONE % 1})?",
    re.ASCII,
)


def asctime(seconds: int) -> str:
    """ "Thu Jan  1 00:00:00 1970", UTC, as From_ lines have it."""
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return asctime(0)
    return f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S} {moment.year:04}"


def parse_asctime(text: str) -> int | None:
    """Seconds since the epoch; UTC where no zone is named."""
    match = _ASCTIME.fullmatch(text)
    return _seconds(match, match["zone1"] or match["zone2"] or "") if match else None


def parse_field(value: bytes) -> int | None:
    """Seconds since the epoch of a Date field's value (RFC 5322 §3.3)."""
    match = _FIELD.match(value[:200].decode("latin-1"))
    return _seconds(match, match["zone1"] or "") if match else None


def _seconds(match: re.Match[str], zone: str) -> int | None:
    minutes = 60 * _ZONES.get(zone, 0)
    if zone[:1] in ("+", "-"):
        minutes = (60 * int(zone[1:3]) + int(zone[3:])) * (-1 if zone[0] == "-" else 1)
    try:
        moment = datetime.datetime(
            int(match["year"]),
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(int(match["second"] or 0), 59),  # a leap second
            tzinfo=datetime.UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp()) - 60 * minutes
