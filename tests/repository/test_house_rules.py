"""The checker of the house rules finds what it is there to find."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("house_rules", ROOT / "tools" / "house_rules.py")
house_rules = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(house_rules)

LONG = '"""Doc."""\n\n\ndef long():\n' + "    pass\n" * 60


@pytest.mark.parametrize(
    ("name", "text", "breach"),
    [
        ("mailserver/a.py", "x = 1\n", "the first line says what the module is for"),
        ("mailserver/a.py", '"""Doc."""\n' + "x = 1\n" * 400, "401 lines"),
        ("mailserver/a.py", LONG, "long has 61 lines"),
        ("tests/utils.py", '"""Doc."""\n', "named after a noun"),
        ("mailserver/common/a.py", '"""Doc."""\n', "named after a noun"),
    ],
)
def test_breach_is_named(name, text, breach):
    assert any(breach in found for found in house_rules.breaches(name, text))


def test_good_file_passes():
    assert list(house_rules.breaches("mailserver/store/packs.py", '"""Doc."""\n')) == []
