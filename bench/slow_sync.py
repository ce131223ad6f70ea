"""A disk whose syncs take longer: a library that programs load first, built by the C compiler of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <time.h>

static int slowly(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int done = real(fd), error = errno;
    struct timespec left = {0, MILLISECONDS * 1000000L};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {}
    errno = error;
    return done;
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""


def missing() -> str:
    """What this machine lacks, "" when nothing."""
    return "" if shutil.which("cc") else "there is no C compiler (Debian: gcc)"


def environment(place: Path, milliseconds: int) -> dict[str, str]:
    """The environment in which a program's fsync and fdatasync take so much longer, SQLite's included."""
    source, library = place / "slow_sync.c", place / "slow_sync.so"
    source.write_text(SOURCE)
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O2",
        f"-DMILLISECONDS={milliseconds}",
        "-o",
        str(library),
        str(source),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}
