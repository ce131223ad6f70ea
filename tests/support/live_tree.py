"""What is below a directory in which others are at work: whatever goes meanwhile is left out."""

import os
from contextlib import suppress
from pathlib import Path


def paths(directory):
    """All files and directories below it."""
    for root, directories, files in os.walk(directory):
        yield from (Path(root, name) for name in (*directories, *files))


def files_with(paths, *words):
    """Those of the paths that are files and have any of the words."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError, IsADirectoryError):
            content = path.read_bytes()
            if any(word in content for word in words):
                found.append(path)
    return found


def modes(paths):
    """Path to its mode."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.lstat().st_mode
    return found
