"""Dates of From_ lines and Date fields."""

from hypothesis import given
from hypothesis import strategies as st

from postrider.ops.exchange import dates


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_asctime_comes_back(seconds):
    assert dates.parse_asctime(dates.asctime(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_date_or_none(text):
    assert isinstance(dates.parse_asctime(text), int | None)
    assert isinstance(dates.parse_field(text.encode("utf-8", "surrogatepass")), int | None)


def test_asctime_in_the_wild():
    noon = 1230811200  # 2009-01-01 12:00 UTC
    for text in (
        "Thu Jan  1 12:00:00 2009",
        "Thu Jan 01 12:00 2009",
        "Thu Jan 01 12:00:00 +0000 2009",
        "Thu Jan 01 14:00:00 2009 +0200",
        "Thu Jan 01 07:00:00 EST 2009",
        "Jan 1 12:00:00 2009",
    ):
        assert dates.parse_asctime(text) == noon, text
    assert dates.parse_asctime("Thu Jan 32 12:00:00 2009") is None
    assert dates.parse_asctime("my friend") is None


def test_date_fields_in_the_wild():
    noon = 1230811200
    for value in (
        b" Thu, 1 Jan 2009 12:00:00 +0000",
        b"1 Jan 2009 13:00 +0100 (CET)",
        b" Thu, 01 Jan 2009 04:00:00 PST",
        b"\r\n Thu,  1 Jan 2009 12:00:60 GMT",
    ):
        assert abs(dates.parse_field(value) - noon) < 60, value
    assert dates.parse_field(b"yesterday") is None
