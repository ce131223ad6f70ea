"""The writer's process: one thread that reads what fronts ask, commits it as one batch, and answers.

While a batch is synced the sockets fill; what they hold then is the next batch. No timer, no second thread.
"""

from __future__ import annotations

import os
import selectors
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.values import Account
from postrider.store.writer import MAX_BATCH, MAX_BATCH_BYTES, Committer
from postrider.telemetry.events import Events

_READ = 1024 * 1024
#: Answers that a front does not fetch; more, and it is stuck for good.
_MAX_UNSENT = 64 * 1024 * 1024
#: What the kernel may hold for us while a batch is synced.
_SOCKET_BUFFER = 4 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Front:
    """One connected front."""

    socket: socket.socket
    frames: wire.Frames = field(default_factory=wire.Frames)
    unsent: bytearray = field(default_factory=bytearray)
    writing: bool = False
    #: Accounts it wants hints about.
    watched: set[Account] = field(default_factory=set)


class WriterServer:
    """Serves fronts on a Unix socket until stop()."""

    def __init__(self, committer: Committer, events: Events | None = None) -> None:
        self._committer = committer
        self._events = events
        self._selector = selectors.DefaultSelector()
        self._fronts: set[_Front] = set()
        self._waiting: list[tuple[_Front, int, t.Txn]] = []
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._stopping = False
        #: What is received goes here: a new megabyte for each turn would cost more than reading into it.
        self._received = memoryview(bytearray(_READ))
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)

    def listen(self, where: Path | str) -> None:
        """Accept fronts at this path from now on; only this user can connect. Raises OSError."""
        path = Path(where)
        path.unlink(missing_ok=True)  # a dead writer's; the lock on the data directory says that it is dead
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
        self._listener, self._path = listener, path
        self._selector.register(listener, selectors.EVENT_READ)

    def stop(self) -> None:
        """End run() once what was received is answered. Safe from other threads."""
        self._stopping = True
        with suppress(OSError):  # it is full, or run() has ended already
            self._wake_write.send(b"x")

    def run(self) -> None:
        """Serve until stop(), then let the data directory go."""
        rest = 0.0
        try:
            while not self._stopping:
                self._take_turn(0 if self._waiting else rest)
                rest = self._committer.between()
            while self._waiting:
                self._commit()
        finally:
            self._close()

    def _take_turn(self, timeout: float | None) -> None:
        self._hear(timeout)
        if self._waiting:
            # Fronts that are about to run may have more to say: where processors are scarce the batch grows, and with
            # it what a sync is good for; where one is idle this costs a microsecond.
            os.sched_yield()
            self._hear(0)
            self._commit()

    def _hear(self, timeout: float | None) -> None:
        for key, ready in self._selector.select(timeout):
            if self._listener and key.fileobj is self._listener:
                self._accept(self._listener)
            elif key.fileobj is self._wake_read:
                self._wake_read.recv(64)
            else:
                front: _Front = key.data
                if ready & selectors.EVENT_WRITE:
                    self._send(front)
                if ready & selectors.EVENT_READ and front in self._fronts:
                    self._receive(front)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
            front = _Front(connection)
            self._fronts.add(front)
            self._selector.register(connection, selectors.EVENT_READ, front)

    def _receive(self, front: _Front) -> None:
        try:
            size = front.socket.recv_into(self._received)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._drop(front)
            return
        try:
            for raw in front.frames.feed(self._received[:size]):
                said = wire.asked.decode(raw)
                if isinstance(said, wire.Watched):
                    self._watch(front, said)
                else:
                    self._waiting.append((front, said.id, said.txn))
        except (wire.BadFrame, msgspec.DecodeError):
            if self._events:
                self._events.emit("server.failure", exc_info=True, reason="a front sent what is not a transaction")
            self._drop(front)

    def _commit(self) -> None:
        batch = self._next_batch()
        outcome = self._committer.commit([txn for _, _, txn in batch])
        answers: dict[_Front, list[bytes]] = {}
        for (front, number, _), result in zip(batch, outcome.results, strict=True):
            answers.setdefault(front, []).append(wire.answer(number, result))
        for front in list(self._fronts):
            said = answers.get(front, [])
            changed = outcome.accounts & front.watched
            if changed or outcome.queue:
                said.append(wire.frame(wire.Hinted(tuple(changed), outcome.queue)))
            self._say(front, b"".join(said))

    def _watch(self, front: _Front, said: wire.Watched) -> None:
        if not said.on:
            front.watched.discard(said.account)
            return
        front.watched.add(said.account)
        self._say(front, wire.frame(wire.Hinted((said.account,), queue=False)))

    def _say(self, front: _Front, data: bytes) -> None:
        front.unsent += data
        if len(front.unsent) > _MAX_UNSENT:
            self._drop(front)
        elif front.unsent and not front.writing:
            self._send(front)

    def _next_batch(self) -> list[tuple[_Front, int, t.Txn]]:
        size = 0
        for count, (_, _, txn) in enumerate(self._waiting):
            size += held_bytes(txn)
            if count >= MAX_BATCH or (count and size > MAX_BATCH_BYTES):
                batch = self._waiting[:count]
                del self._waiting[:count]
                return batch
        batch, self._waiting = self._waiting, []
        return batch

    def _send(self, front: _Front) -> None:
        try:
            sent = front.socket.send(front.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(front)
            return
        del front.unsent[:sent]
        writing = bool(front.unsent)
        if writing != front.writing:
            front.writing = writing
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
            self._selector.modify(front.socket, wanted, front)

    def _drop(self, front: _Front) -> None:
        self._fronts.discard(front)
        self._selector.unregister(front.socket)
        front.socket.close()

    def _close(self) -> None:
        if self._listener and self._path:
            self._listener.close()
            self._path.unlink(missing_ok=True)
        for front in list(self._fronts):
            front.socket.settimeout(1.0)  # the last answers; a front that is stuck does not hold us up
            with suppress(OSError):
                front.socket.sendall(front.unsent)
            self._drop(front)
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
        self._committer.close()


def held_bytes(txn: t.Txn) -> int:
    """Octets of bodies that the transaction holds in memory."""
    return sum(len(body.data) for body in t.bodies_of(txn))
