"""The public message collections, read where they lie."""

from __future__ import annotations

from pathlib import Path

import mime_rules
import pytest


@pytest.fixture(scope="session")
def mime4j() -> list[Path]:
    return _or_skip(mime_rules.mime4j())


@pytest.fixture(scope="session")
def collected() -> list[Path]:
    """Every message of every collection."""
    return _or_skip(mime_rules.collected())


def _or_skip(found: list[Path]) -> list[Path]:
    if not found:
        pytest.skip(f"no messages under {mime_rules.suites()}: public test vectors are not on this machine")
    return found
