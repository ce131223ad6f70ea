"""A power-loss simulator: what a disk may hold after the power went, from the system calls of a traced process.

`Traced` runs a program under strace. `Disk` replays its calls on the files below one directory and keeps what a sync
made durable apart from what is only pending. `image` writes the directory as the disk may hold it: pending writes
lost, applied in part and out of order, torn at sectors, or their place allocated and still zero; names that were not
synced with their directory missing.
"""

import codecs
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
#: All calls by which a writer changes files, makes them durable, and answers.
CALLS = "open,openat,close,write,pwrite64,pwritev,pwritev2,ftruncate,fallocate,rename,unlink,fsync,fdatasync,sendto"
#: What makes strace tell them in full.
TRACED = ("-xx", "-s", "100000000", "-e", f"trace={CALLS}")
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
# Calls of two threads that overlap are told in two parts.
_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)\) += (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class Traced:
    """A program under strace."""

    def __init__(self, output, *command):
        self.output = output
        strace = ["strace", "-f", "-o", output, *TRACED, *command]
        self.process = subprocess.Popen(list(map(str, strace)), stderr=subprocess.DEVNULL)

    def end(self):
        """End the traced program in good order."""
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        self.process.wait(300)


@dataclass
class Write:
    """Bytes at an offset."""

    offset: int
    data: bytes

    def apply(self, buffer):
        if self.offset > len(buffer):
            buffer.extend(bytes(self.offset - len(buffer)))
        buffer[self.offset : self.offset + len(self.data)] = self.data

    def guess(self, buffer, random):
        for start in range(0, len(self.data), SECTOR):
            piece = self.data[start : start + SECTOR]
            luck = random.random()
            if luck < 0.6:
                Write(self.offset + start, piece if luck < 0.5 else bytes(len(piece))).apply(buffer)


@dataclass
class Resize:
    """A file made longer, or (but for fallocate) shorter."""

    size: int
    shrink: bool

    def apply(self, buffer):
        if self.size > len(buffer):
            buffer.extend(bytes(self.size - len(buffer)))
        elif self.shrink:
            del buffer[self.size :]

    def guess(self, buffer, random):
        if random.random() < 0.5:
            self.apply(buffer)


@dataclass(eq=False)
class File:
    """What of a file is durable, and what is pending."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list = field(default_factory=list)

    def sync(self, count=None):
        """The first `count` pending changes are durable, all by default."""
        for change in self.pending[:count]:
            change.apply(self.durable)
        self.pending = [] if count is None else self.pending[count:]


class Disk:
    """The files below `root`, as they were in `before` and as the traced calls change them."""

    def __init__(self, root, before, *, deaf=None, held=None):
        """`deaf`: syncs of files whose name ends so are ignored, as by a disk that lies.

        `held`: descriptor to path, of the files that are open when the trace begins.
        """
        self._root = f"{root}/"
        self._deaf = deaf
        self._names = {
            str(path.relative_to(before)): File(bytearray(path.read_bytes()))
            for path in Path(before).rglob("*")
            if path.is_file()
        }
        self._durable_names = dict(self._names)
        self._pending_names = []
        self._open = {}
        #: Where `write` goes on, of files that were opened.
        self._positions = {}
        for number, path in (held or {}).items():
            name = self._relative(path)
            if name in self._names:
                self._open[number] = self._names[name]

    def replay(self, output):
        """Apply the traced calls in their order; yields after each a socket and what it sent there, else (-1, b"")."""
        begun = {}
        with Path(output).open("r", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if match := _LINE.match(line):
                    name, arguments, result, pending = match[1], match[2], int(match[3]), None
                elif (match := _BEGUN.match(line)) and match[2] == "close":
                    self._call("close", match[3], 0, None)  # another thread may be given its number before it ended
                    continue
                elif match:
                    # A sync is sure of what was written before it began, not of what came while it ran.
                    held = self._open.get(int(match[3])) if match[2] in ("fsync", "fdatasync") else None
                    begun[match[1]] = match[2], match[3], len(held.pending) if isinstance(held, File) else None
                    continue
                elif (match := _ENDED.match(line)) and match[1] in begun:
                    name, arguments, pending = begun.pop(match[1])
                    arguments, result = arguments + match[2], int(match[3])
                else:
                    continue
                if result >= 0:
                    yield self._call(name, arguments, result, pending)

    def image(self, where, random=None):
        """Write the directory as it may be; without `random` all that was not synced is lost."""
        names = dict(self._durable_names)
        happened = random.randint(0, len(self._pending_names)) if random else 0
        for name, file in self._pending_names[:happened]:  # the filesystem's journal: some first part of them
            if file:
                names[name] = file
            else:
                names.pop(name, None)
        for name, file in names.items():
            if name.endswith("-shm"):  # not kept over a start of the machine
                continue
            buffer = bytearray(file.durable)
            for change in file.pending if random else ():
                change.guess(buffer, random)
            path = Path(where, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(buffer)

    def _call(self, name, arguments, result, pending):
        if name in ("open", "openat"):
            self._opened(arguments, result)
        elif name == "unlink":
            path = self._relative(_text(arguments))
            if self._names.pop(path, None):
                self._pending_names.append((path, None))
        elif name == "rename":
            self._renamed(*map(os.fsdecode, map(_unescaped, _STRING.findall(arguments))))
        elif name == "sendto":
            return int(arguments.partition(",")[0]), _bytes(arguments)[:result]
        else:
            self._with_file(name, arguments, result, pending)
        return -1, b""

    def _renamed(self, source, target):
        source, target = self._relative(source), self._relative(target)
        if file := self._names.pop(source, None):
            self._names[target] = file
            self._pending_names += [(target, file), (source, None)]

    def _with_file(self, name, arguments, result, pending):
        number, _, rest = arguments.partition(",")
        held = self._open.get(int(number))
        if name == "close":
            self._open.pop(int(number), None)
        elif name in ("fsync", "fdatasync"):
            self._synced(held, pending)
        elif isinstance(held, File):
            rest, _, last = rest.rpartition(",")
            if name == "pwritev2":  # flags come last
                rest, _, last = rest.rpartition(",")
            if name == "write":
                at = self._positions.get(int(number), 0)
                self._positions[int(number)] = at + result
                held.pending.append(Write(at, _bytes(arguments)[:result]))
            elif name in ("pwrite64", "pwritev", "pwritev2"):
                held.pending.append(Write(int(last), _bytes(rest)[:result]))
            elif name == "ftruncate":
                held.pending.append(Resize(int(last), shrink=True))
            elif name == "fallocate":
                held.pending.append(Resize(int(rest.rpartition(",")[2]) + int(last), shrink=False))

    def _opened(self, arguments, number):
        path = self._relative(_text(arguments))
        self._open.pop(number, None)
        self._positions[number] = 0
        if path is None:
            return
        if Path(self._root, path).is_dir():
            self._open[number] = path
            return
        if path not in self._names and "O_CREAT" in arguments:
            self._names[path] = File()
            self._pending_names.append((path, self._names[path]))
        if path in self._names:
            self._open[number] = self._names[path]

    def _synced(self, held, pending):
        if isinstance(held, File):
            name = next((name for name, file in self._names.items() if file is held), "")
            if not (self._deaf and name.endswith(self._deaf)):
                held.sync(pending)
        elif held is not None:
            here = [change for change in self._pending_names if change[0].rpartition("/")[0] == held]
            self._pending_names = [change for change in self._pending_names if change not in here]
            for name, file in here:
                if file:
                    self._durable_names[name] = file
                else:
                    self._durable_names.pop(name, None)

    def _relative(self, path):
        if path + "/" == self._root:
            return ""
        return path.removeprefix(self._root) if path.startswith(self._root) else None


def _bytes(arguments):
    return b"".join(map(_unescaped, _STRING.findall(arguments)))


def _unescaped(text):
    return codecs.decode(text.replace("\\x", ""), "hex")


def _text(arguments):
    return os.fsdecode(_bytes(arguments))
