"""What a data directory keeps bodies in: decided at its first start, written down in it, the same for good."""

from __future__ import annotations

import os
from pathlib import Path

from postrider.store import directory
from postrider.store.directory import CannotOpen

PACKS = "packs"
MAILDIR = "maildir"
#: What this release can keep bodies in.
KNOWN = frozenset({PACKS, MAILDIR})
#: The file in a data directory that says it.
NOTE = "blobs"


def decided(path: Path, wanted: str = "") -> str:
    """What the directory keeps bodies in; a fresh one takes what is wanted. "" takes whatever it has.

    Raises CannotOpen when the directory has another kind than is wanted, or one that this release does not know;
    OSError.
    """
    directory.make(path)
    known = _written(path)
    if wanted and known and wanted != known:
        raise CannotOpen(
            f"{path} keeps mail in {known}, and storage.blobs says {wanted}: say {known}, or export the mail and import"
            " it into another data directory"
        )
    kind = known or wanted or PACKS
    if kind not in KNOWN:
        raise CannotOpen(
            f"{path} is to keep mail in {kind}, which this release cannot do: say {' or '.join(sorted(KNOWN))}"
        )
    if not known:
        _write(path, kind)
    return kind


def _written(path: Path) -> str:
    note = path / NOTE
    if note.exists():
        return note.read_text(encoding="ascii").strip()
    # Those of the first releases say nothing.
    return PACKS if directory.database_path(path).exists() else ""


def _write(path: Path, kind: str) -> None:
    draft = path / f".{NOTE}.draft"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{kind}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path / NOTE)
    holder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(holder)
    finally:
        os.close(holder)
