"""Keys of the store: what people may put into a Secret, and what is said of the rest."""

import base64

import pytest

from postrider.contract import storage

KEY = bytes(range(32))


@pytest.mark.parametrize(
    "text", [KEY, base64.b64encode(KEY), base64.b64encode(KEY) + b"\n", base64.b64encode(KEY).decode()]
)
def test_a_key_comes_as_it_is_or_in_base64(text: bytes | str) -> None:
    assert storage.key(text) == KEY
    assert storage.key(storage.encoded(KEY)) == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has 0 bytes in base64, not 32"),
        (b"secret", "is neither 32 bytes (6 are there) nor base64"),
        (base64.b64encode(KEY[:16]), "has 16 bytes in base64, not 32"),
        (base64.b64encode(bytes(32)), "is one byte again and again"),
        (bytes(32), "is one byte again and again"),
    ],
)
def test_what_is_no_key_is_said_without_showing_it(text: bytes, said: str) -> None:
    with pytest.raises(storage.BadKey) as bad:
        storage.key(text)
    assert str(bad.value) == said
    assert storage.fault(text.decode()) == said


def test_one_that_is_not_there_and_one_that_is_fine() -> None:
    assert storage.fault(None) == "is not there"
    assert storage.fault(storage.encoded(KEY)) == ""
