"""YAML files as objects that know where every field stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

#: A place in a document: keys and indexes from the top.
Place = tuple[str | int, ...]

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a file, as people read it."""

    file: str
    #: 0 for the file as a whole.
    line: int
    message: str
    #: Path of the field, "spec.quota"; "" for the whole document.
    field: str = ""
    #: "mailbox/alice"; "" where the document cannot be read.
    about: str = ""

    def __str__(self) -> str:
        parts = [f"{self.file}:{self.line}" if self.line else self.file, self.about, self.field, self.message]
        return ": ".join(part for part in parts if part)


class Malformed(ValueError):
    """A file is not YAML."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    data: Mapping[str, Any]
    #: Line of each field, counted from 1; the empty place is the document itself.
    lines: Mapping[Place, int] = field(repr=False)

    @property
    def kind(self) -> str:
        """The object's kind, "" when it says none."""
        return str(self.data.get("kind", ""))

    @property
    def name(self) -> str:
        """metadata.name, "" when it says none."""
        return str(self.metadata.get("name", ""))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """metadata without what is null: to an API server that is not there."""
        given = self.data.get("metadata")
        rows = given.items() if isinstance(given, Mapping) else ()
        return {name: value for name, value in rows if value is not None}

    def line(self, place: Place) -> int:
        """Line of a field, or of the nearest thing around it that is there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def problem(self, place: Place, message: str) -> Problem:
        """A problem with a field of this object."""
        about = f"{self.kind.lower()}/{self.name}" if self.kind and self.name else self.kind or self.name
        return Problem(self.file, self.line(place), message, dotted(place), about)


def dotted(place: Place) -> str:
    """A place as people write it: spec.targets[0]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def files(path: Path) -> tuple[Path, ...]:
    """The YAML files `kubectl apply -f path` would read, sorted. Raises OSError."""
    if path.is_dir():
        found = (f for f in path.iterdir() if f.suffix in _SUFFIXES and not f.name.startswith(".") and f.is_file())
        return tuple(sorted(found))
    path.stat()
    return (path,)


def read(path: Path, text: str) -> tuple[Document, ...]:
    """The objects of a file. Raises Malformed, with the line."""
    loader = _Loader(text)
    try:
        return tuple(_documents(path, loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(part for part in (error.problem, error.context) if part)
        line = min(mark.line + 1, len(text.splitlines())) if mark else 1
        raise Malformed(Problem(str(path), line, f"not YAML: {message}")) from error
    except yaml.reader.ReaderError as error:
        raise Malformed(Problem(str(path), 1, f"not YAML: {error.reason} at character {error.position}")) from error
    finally:
        loader.dispose()


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """As Kubernetes reads YAML: dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _documents(path: Path, loader: Any) -> Iterator[Document]:
    while found := _next(path, loader):
        data, lines = found
        if data is None:
            continue
        if data.get("kind") == "List" and isinstance(data.get("items"), list):
            for at, item in enumerate(data["items"]):
                inner = {place[2:]: line for place, line in lines.items() if place[:2] == ("items", at)}
                yield Document(str(path), _mapping(path, item, inner), inner)
        else:
            yield Document(str(path), data, lines)


def _next(path: Path, loader: Any) -> tuple[dict[str, Any] | None, dict[Place, int]] | None:
    """The next document, None where it is empty, with its lines; None for all when there are no more."""
    lines: dict[Place, int] = {}
    try:
        if not loader.check_node():
            return None
        node = loader.get_node()
        _mark(path, node, (), lines)
        data = loader.construct_document(node)
    except RecursionError as error:
        raise Malformed(Problem(str(path), lines.get((), 1), "not YAML: nested too deeply, or in itself")) from error
    except (AttributeError, ValueError) as error:  # what the library makes of `!!int x` and of thousands of digits
        if isinstance(error, Malformed):
            raise
        raise Malformed(Problem(str(path), lines.get((), 1), f"not YAML: a value cannot be read: {error}")) from error
    return None if data is None else _mapping(path, data, lines), lines


def _mapping(path: Path, data: Any, lines: Mapping[Place, int]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Malformed(Problem(str(path), lines.get((), 1), "an object is a mapping with kind, metadata and spec"))
    return data


def _mark(path: Path, node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for at, part in enumerate(node.value):
            _mark(path, part, (*place, at), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, re.sub(r"\s+", " ", str(key.value)))
            if inner in lines:
                message = f"the field {dotted(inner)} is there twice"
                raise Malformed(Problem(str(path), key.start_mark.line + 1, message))
            lines[inner] = key.start_mark.line + 1
            _mark(path, value, inner, lines)
