"""The public message collections, read where they lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def suites() -> Path:
    """The folder of public test vectors."""
    return Path(os.environ.get("POSTRIDER_SUITES", ROOT.parent / "shared" / "suites"))


@pytest.fixture(scope="session")
def mime4j() -> list[Path]:
    return _messages("mime-mime4j", "*.msg")


@pytest.fixture(scope="session")
def collected() -> list[Path]:
    """Every message of every collection."""
    return _messages("mime-mime4j", "*.msg") + _messages("mime-mikel-mail", "*.eml")


def _messages(folder: str, pattern: str) -> list[Path]:
    found = sorted((suites() / folder).rglob(pattern))
    if not found:
        pytest.skip(f"no messages under {suites() / folder}: public test vectors are not on this machine")
    return found
