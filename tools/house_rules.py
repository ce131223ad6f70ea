"""Checks the house rules no linter knows: sizes, names, first lines. `make check` runs it; exit 1 names each breach."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
SOURCES = ("mailserver/", "operator/", "tools/", "bench/")
#: Names that say nothing about what is inside.
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})


def breaches(name: str, text: str) -> Iterator[str]:
    """Each breach of the house rules in one Python file, as `file:line: what`."""
    path = Path(name)
    if path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES:
        yield f"{name}:1: a file is named after a noun of the trade"
    tree = ast.parse(text, name)
    if not name.startswith(SOURCES):
        return
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{name}:1: {lines} lines, {MAX_FILE_LINES} are allowed"
    if not ast.get_docstring(tree):
        yield f"{name}:1: the first line says what the module is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, {MAX_FUNCTION_LINES} are allowed"


def main() -> int:
    """Check every Python file of the working tree that git does not ignore."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    found = [
        breach
        for name in sorted(set(names))
        if Path(name).exists()
        for breach in breaches(name, Path(name).read_text())
    ]
    if Path("operator/__init__.py").exists():
        found.append("operator/__init__.py:1: shadows the standard library's operator module")
    for breach in found:
        print(breach)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
