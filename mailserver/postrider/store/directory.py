"""The data directory: who may open it (one writer), on which filesystems, how fast its disk syncs, how full it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Locks or shared memory do not hold on these, whatever they promise.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "fuse.sshfs", "fuse.glusterfs"})
_VOLATILE = frozenset({"tmpfs", "ramfs"})
_POLL = 0.25
_KEY = re.compile("[0-9a-f]{8}")


class CannotOpen(Exception):
    """The data directory cannot be used; the message says why and what to do."""


def make(path: Path) -> None:
    """Make the directory and the one for packs, readable by nobody else. Raises CannotOpen."""
    check_restored(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    packs_directory(path).mkdir(mode=0o700, exist_ok=True)


def check_restored(path: Path) -> None:
    """Raises CannotOpen where a restore has not come to its end: it begins anew, and nothing else may be there then."""
    if unfinished_restore(path).exists():
        raise CannotOpen(f"a backup was being restored into {path} and did not get to its end: run restore again")


def make_private(path: Path) -> None:
    """Make a directory and those above it that are missing, readable by nobody else. Raises OSError.

    `Path.mkdir` gives its mode to the last one alone.
    """
    for one in reversed([each for each in (path, *path.parents) if not each.exists()]):
        one.mkdir(mode=0o700, exist_ok=True)


def packs_directory(path: Path) -> Path:
    """Where the packs are."""
    return path / "packs"


def keys_directory(path: Path) -> Path:
    """Where the wrapped keys are, once anything is encrypted."""
    return path / "keys"


def key_files(path: Path) -> Iterator[Path]:
    """The files of wrapped keys, by the keys' numbers."""
    return (file for file in keys_directory(path).glob("????????") if _KEY.fullmatch(file.name))


def check_owner(path: Path, owned: Path) -> None:
    """Nobody makes files in a data directory that its server cannot write later. Raises CannotOpen, OSError."""
    owner = owned.stat().st_uid
    if owner != os.geteuid():
        raise CannotOpen(f"{path} belongs to user {owner}: run this as that user, or the server cannot write it later")


def database_path(path: Path) -> Path:
    """Where the database is."""
    return path / "mail.db"


def unfinished_restore(path: Path) -> Path:
    """Where a backup lies while it is restored; nothing is opened as long as this is there."""
    return path / "restoring"


@contextlib.contextmanager
def keep_packs(path: Path) -> Iterator[None]:
    """While it is held no pack is deleted: a backup needs every one that its copy of the database knows.

    It is a shared flock of the file `pins`; whoever dies lets go of it.
    """
    with _flock(path / "pins", fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def may_delete_packs(path: Path) -> Iterator[bool]:
    """Whether packs may be deleted now, for as long as it is held: never while somebody keeps them."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(_flock(path / "pins", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            allowed = False
        else:
            allowed = True
        yield allowed


@contextlib.contextmanager
def _flock(file: Path, kind: int) -> Iterator[None]:
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(FileNotFoundError):
            owner = packs_directory(file.parent).stat()
            if os.fstat(fd).st_uid != owner.st_uid:  # root backs up what is another user's, who has to open it too
                os.fchown(fd, owner.st_uid, owner.st_gid)
        fcntl.flock(fd, kind)
        yield
    finally:
        os.close(fd)


def lock(path: Path, seconds: float, sleep: Callable[[float], None] = time.sleep) -> int:
    """Take the directory for this process; returns the file descriptor that holds it until it is closed.

    Waits up to `seconds` for another writer to end. Raises CannotOpen.
    """
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waited = 0.0
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                os.close(fd)
                raise
        if waited >= seconds:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise CannotOpen(
                f"{path} is in use by another server or command (pid {holder}), after {seconds:g} s: wait for it,"
                " stop it, or use another data directory"
            )
        sleep(_POLL)
        waited += _POLL
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def check_filesystem(path: Path, *, allow_tmpfs: bool) -> str:
    """The type of filesystem the directory is on. Raises CannotOpen for one that cannot keep the promise."""
    kind = filesystem(path, Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    if kind in _NETWORK:
        raise CannotOpen(f"{path} is on {kind}: the store needs a local filesystem (ext4, xfs, btrfs, a block volume)")
    if kind in _VOLATILE and not allow_tmpfs:
        raise CannotOpen(
            f"{path} is on {kind}: mail would be lost with the power. Keep it on a disk (where it may be lost:"
            " `postrider-server serve --allow-tmpfs`)"
        )
    return kind


def filesystem(path: Path, mountinfo: str) -> str:
    """The filesystem type of a path, from the text of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    real = path.resolve()
    best, kind = -1, "unknown"
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        # A later mount covers an earlier one at the same place.
        if len(point.parts) >= best and real.is_relative_to(point):
            best, kind = len(point.parts), right.split()[0]
    return kind


def sync_latency(path: Path, rounds: int = 5) -> float:
    """Seconds that the median sync of a small write takes here."""
    probe = path / "sync-probe"
    fd = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        taken = []
        for turn in range(rounds):
            start = time.perf_counter()
            os.pwrite(fd, b"x" * 4096, turn * 4096)
            os.fdatasync(fd)
            taken.append(time.perf_counter() - start)
    finally:
        os.close(fd)
        probe.unlink(missing_ok=True)
    return sorted(taken)[rounds // 2]


def free_space(path: Path) -> tuple[int, int]:
    """Bytes an unprivileged process may still write here, and the size of the filesystem."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize
