"""The status report: every field is there, and what is not known is ignored."""

import json

import pytest

from postrider.contract.report import Refusal, RefusedRow, Status, decode, encode

FULL = Status(
    loaded=42,
    pending=43,
    waiting_for="dir-3.json.gz has not arrived",
    refused=Refusal(
        generation=41,
        reason="bad",
        rows=(RefusedRow(kind="Alias", namespace="n", name="a", reason="AliasLoop", message="m"),),
    ),
)


@pytest.mark.parametrize("status", [Status(), Status(loaded=1), FULL])
def test_round_trip(status: Status) -> None:
    assert decode(encode(status)) == status


def test_every_field_is_written() -> None:
    assert json.loads(encode(Status(loaded=42))) == {
        "loaded": 42,
        "pending": None,
        "waiting_for": "",
        "refused": None,
        "readable": [1],
    }


def test_unknown_fields_are_ignored() -> None:
    assert decode(b'{"loaded": 7, "new": {}}') == Status(loaded=7)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"loaded": "7"}', b"\xff"])
def test_what_is_no_status(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(text)
