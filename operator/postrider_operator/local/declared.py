"""What a directory declares: every object as it was accepted last, and what is wrong with the files now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postrider_operator.local import documents, validate
from postrider_operator.local.documents import Document, Malformed, Problem
from postrider_operator.local.private import write_private

#: (kind, name)
Key = tuple[str, str]
#: What tells whether a file changed: name, inode, size, time of modification.
_Signature = tuple[tuple[str, int, int, int], ...]
#: The signature of a path that is not there, or may not be read.
_NOWHERE: _Signature = (("", 0, 0, 0),)


@dataclass(slots=True)
class Declared:
    """A directory (or file) of YAML, looked at again and again.

    An object that is wrong keeps its last good state, and so do all objects of a file that is not YAML or has an object
    of a kind there is not, and everything while the directory is away. These states
    are kept in `memory`, so that a restart does not lose what a typing error hides.
    """

    path: Path
    memory: Path
    objects: dict[Key, Document] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    #: Objects of kinds that local mode does not read.
    ignored: tuple[str, ...] = ()
    _seen: _Signature | None = None
    _before: _Signature | None = None

    def __post_init__(self) -> None:
        self.objects = _remembered(self.memory)

    def look(self, *, patient: bool = False) -> bool:
        """Read the files if any of them changed since they were read; whether that was so.

        A `patient` look leaves what was not the same at the look before to the next one: an editor that empties a file
        before it writes it anew would seem to take all objects away. Raises OSError when `memory` cannot be written;
        then the next look reads again.
        """
        signature, self._before, before = self._signature(), None, self._before
        if signature == self._seen:
            return False
        if patient and signature != before:
            self._before = signature
            return False
        self._read()
        self._seen = signature
        return True

    def _signature(self) -> _Signature:
        rows = []
        try:
            paths = documents.files(self.path)
        except OSError:
            return _NOWHERE
        for path in paths:
            try:
                stat = path.stat()
            except FileNotFoundError:  # an editor is just replacing it
                continue
            rows.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(rows)

    def _read(self) -> None:
        try:
            paths = documents.files(self.path)
        except OSError as error:
            message = f"cannot be read ({error.strerror}): what it said last is served"
            self.problems = (Problem(str(self.path), 0, message),)
            return
        found: dict[Key, Document] = {}
        problems: list[Problem] = []
        ignored: list[str] = []
        unreadable: set[str] = set()
        wrong: set[Key] = set()
        if not paths:
            problems.append(Problem(str(self.path), 0, "there is no file called .yaml or .yml in it"))
        for path in paths:
            for document in self._documents(path, problems, unreadable):
                key = (document.kind, document.name)
                if fault := validate.misnamed(document):
                    problems.append(fault)
                    unreadable.add(str(path))
                elif not validate.is_ours(document):
                    ignored.append(f"{document.kind}/{document.name} ({path.name})")
                elif key in found:
                    first = found[key]
                    message = f"is there already: {first.file}:{first.line(())}"
                    problems.append(document.problem((), message))
                elif faults := self._faults(document, self.objects.get(key)):
                    problems += faults
                    wrong.add(key)
                else:
                    found[key] = document
        # What cannot be read now stays what it was.
        kept = {k: d for k, d in self.objects.items() if k not in found and (k in wrong or d.file in unreadable)}
        self.objects = found | kept
        self.problems = tuple(problems)
        self.ignored = tuple(ignored)
        _remember(self.memory, self.objects)

    def _faults(self, document: Document, last: Document | None) -> list[Problem]:
        """What is wrong with an object; one that is as it was accepted is as good as it was then."""
        if last is not None and last.data == document.data:
            return []
        return validate.problems(document, last)

    def _documents(self, path: Path, problems: list[Problem], unreadable: set[str]) -> tuple[Document, ...]:
        try:
            return documents.read(path, path.read_text(encoding="utf-8"))
        except Malformed as error:
            problems.append(error.problem)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(path), 1, f"cannot be read: {error}"))
        unreadable.add(str(path))
        return ()


def _remember(path: Path, objects: Mapping[Key, Document]) -> None:
    rows: list[dict[str, Any]] = [
        {"file": document.file, "line": document.line(()), "object": document.data} for document in objects.values()
    ]
    write_private(path, json.dumps(rows, indent=1).encode())


def _remembered(path: Path) -> dict[Key, Document]:
    try:
        rows = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    found = (Document(row["file"], row["object"], {(): row["line"]}) for row in rows)
    return {(document.kind, document.name): document for document in found}
