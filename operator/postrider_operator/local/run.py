"""Local mode as a loop: look at the files, plan, carry out, tell; the server runs beside it as a child process."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postrider.contract import files
from postrider.contract.files import BadSnapshot
from postrider.contract.model import Snapshot
from postrider_operator import material
from postrider_operator.local.declared import Declared
from postrider_operator.local.generated import Generated
from postrider_operator.local.picture import Picture
from postrider_operator.local.printout import Serving, as_json, logins, text
from postrider_operator.local.private import write_private
from postrider_operator.local.server import Server, ServerFailed, chosen_ports
from postrider_operator.plan import names, plan
from postrider_operator.plan.desired import Desired
from postrider_operator.plan.mine import ref
from postrider_operator.plan.secrets import unhashed
from postrider_operator.world import World

#: Seconds between two looks at the files, and at a server that has nothing to load.
LOOK_EVERY = 0.1
ASK_EVERY = 2.0
#: Seconds after which somebody wonders why it does not serve yet.
_LONG = 5.0
#: A plan leads to another one - a key generated, a mailbox that needs it - but not to many.
_MAX_PLANS = 20
#: The server may end by itself so often within so many seconds.
_RESTARTS = 5
_RESTARTS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `postrider up` was told."""

    path: Path
    data: Path
    ports: str = ""
    resolver: str = ""
    ready_file: Path | None = None
    acknowledge: str = ""


class CannotStart(Exception):
    """There is nothing to serve, or no way to; the message says what to do."""


@dataclass(slots=True)
class Local:
    """One run of local mode."""

    options: Options
    say: Callable[[str], None]
    picture: Picture = field(init=False)
    server: Server = field(init=False)
    _told: dict[str, str] = field(default_factory=dict)
    _serving: Serving | None = None
    _asked: float = 0.0
    #: When to look again after something could not be written; 0 when all is written.
    _again: float = 0.0
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        data = self.options.data.absolute()
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        declared = Declared(self.options.path, data / "state" / "accepted.json")
        self.picture = Picture(declared, Generated(data / "state" / "generated"), self.options.acknowledge)
        self.server = Server(data, chosen_ports(self.options.ports), self.options.resolver)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises CannotStart and ServerFailed."""
        lock = _locked(self.options.data)
        try:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            self.picture.previous = _published(self.server.snapshot)
            if not await self._first():
                return
            await self._serve()
        finally:
            await self.server.stop()
            os.close(lock)

    async def _first(self) -> bool:
        """Wait until there is something to serve; False when it was all called off before."""
        self.picture.declared.look()
        await self._reconcile()
        if self.picture.previous is None:
            needs = "what is said above" if self._told else "a MailServer"
            self.say(f"Nothing to serve yet: it needs {needs}, and the files are watched.")
        while self.picture.previous is None and not self._stop.is_set():
            await self._pause()
            if self.picture.declared.look(patient=True):
                await self._reconcile()
        return not self._stop.is_set()

    async def _serve(self) -> None:
        ends: list[float] = []
        while not self._stop.is_set():
            why = await self._one_life()
            if self._stop.is_set():
                return
            if self._serving is None and not ends:
                raise ServerFailed(why)  # it never came up: nothing will be different next time
            now = time.monotonic()
            ends = [*(at for at in ends if now - at < _RESTARTS_WITHIN), now]
            if len(ends) > _RESTARTS:
                raise ServerFailed(f"the server ended {len(ends)} times; the last time: {why}")
            self.say(f"{why.splitlines()[0]}; it is started again. See {self.server.log}")
            self.picture.pods = ()
            self._serving = None

    async def _one_life(self) -> str:
        """Start the server and serve until it ends by itself or all is called off; why it ended."""
        try:
            if not await self._started():
                return ""
        except ServerFailed as error:
            return str(error)
        ended = asyncio.create_task(self.server.ended())
        while not self._stop.is_set() and not ended.done():
            await self._look_through_faults()
            await self._pause()
        if ended.done():
            return f"the server ended with status {ended.result()}"
        ended.cancel()
        return ""

    async def _started(self) -> bool:
        """Start the server; False when it was called off meanwhile."""
        starting = asyncio.create_task(self.server.start())
        stopping = asyncio.create_task(self._stop.wait())
        waiting = {starting, stopping}
        done, _ = await asyncio.wait(waiting, timeout=_LONG, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.say(f"still starting: it waits for whoever else uses {self.options.data}, or see {self.server.log}")
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return False
        starting.result()
        return not self._stop.is_set()

    async def _look_through_faults(self) -> None:
        """Look; a disk that is full keeps changes waiting, it takes no mail server down."""
        if time.monotonic() < self._again:
            return
        try:
            await self._look()
        except OSError as error:
            if not self._again:
                self.say(f"{self.options.data}: cannot be written, so changes wait: {error}")
            self._again = time.monotonic() + ASK_EVERY
        else:
            if self._again:
                self.say(f"mended: {self.options.data}: cannot be written")
            self._again = 0.0

    async def _look(self) -> None:
        """One look at the files and, while it has something to load or now and then, at the server."""
        if self.picture.declared.look(patient=True) or self._again:
            await self._reconcile()
        snapshot = self.picture.previous
        behind = not all(pod.ready and snapshot and pod.loaded >= snapshot.generation for pod in self.picture.pods)
        now = time.monotonic()
        if not behind and self.picture.pods and now - self._asked < ASK_EVERY:
            return
        self._asked = now
        pod = await self.server.pod()
        if (pod,) != self.picture.pods:
            self.picture.pods = (pod,)
            await self._reconcile()
        if snapshot is not None and pod.loaded >= snapshot.generation:
            self._announce(snapshot)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._stop.wait()
        except TimeoutError:
            return

    async def _reconcile(self) -> None:
        """Plan and carry out until nothing more is to be made."""
        for _ in range(_MAX_PLANS):
            world = await self._hashed(self.picture.world(time.time()))
            desired = plan(world)
            await self._generate(world, desired)
            for delete in desired.deletes:
                self.picture.generated.delete(delete.ref)
            for patch in desired.statuses:
                self.picture.statuses[patch.ref] = patch.status
            published = self._publish(desired)
            if not desired.generates and not published:
                break
        self._forget(world)
        self._tell()

    def _forget(self, world: World) -> None:
        """Statuses of what is gone go with it."""
        rows = (*world.servers, *world.domains, *world.mailboxes, *world.aliases, *world.keys)
        there = {ref(row) for row in rows}
        self.picture.statuses = {at: status for at, status in self.picture.statuses.items() if at in there}

    async def _hashed(self, world: World) -> World:
        """The World with verifiers for all passwords."""
        passwords = unhashed(world)
        if passwords:
            found = await asyncio.gather(*(asyncio.to_thread(material.verifiers, p) for p in passwords))
            self.picture.verifiers |= {p.source: made for p, made in zip(passwords, found, strict=True)}
            return self.picture.world(world.now)
        return world

    async def _generate(self, world: World, desired: Desired) -> None:
        ca = world.secrets.get(names.authority(world.name))
        for intent in desired.generates:
            row = await asyncio.to_thread(material.fill, intent, ca.data if ca else None, world.now)
            row["metadata"].pop("resourceVersion", None)
            self.picture.generated.create(row, replace=bool(intent.replaces))

    def _publish(self, desired: Desired) -> bool:
        """Write the snapshot where the server reads it, if it is another one."""
        last = self.picture.previous
        if not desired.files or (last is not None and last.generation == desired.generation):
            return False
        snapshot = files.read(desired.files)
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"the plan's files are incomplete: {snapshot.reason}")
        files.write_directory(self.server.snapshot, snapshot)
        self.picture.previous = snapshot
        return True

    # -- what is told --------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Say what is wrong, once, and when it is mended."""
        found: dict[str, str] = {}
        for problem in (*self.picture.declared.problems, *self.picture.problems):
            found[str(problem)] = f"{problem}"
        for at, status in self.picture.statuses.items():
            place = self.picture.where(at) or "generated"
            if trouble := _trouble(status):
                found[str(at)] = f"{place}: {at}: {trouble}"
            if held := self._held(status):
                found[f"{at} held"] = held
        for other in self.picture.declared.ignored:
            found[other] = f"left alone, local mode does not read it: {other}"
        for key, message in found.items():
            if self._told.get(key) != message:
                self.say(message)
        for key in sorted(self._told.keys() - found.keys()):
            self.say(f"mended: {key}")
        self._told = found

    def _held(self, status: Mapping[str, Any]) -> str:
        """What to do about losses that are held back; "" when none are."""
        held = _condition(status, "ConfigSynced")
        if held.get("reason") != "Held":
            return ""
        generation = self.picture.previous.held if self.picture.previous else 0
        said = str(held["message"]).split(" If that is meant", 1)[0]
        return f"{said} If that is meant, start again with --acknowledge {generation}"

    def _announce(self, snapshot: Snapshot) -> None:
        """Print where it serves, at first and whenever that changes; keep the ready file true."""
        ca = self._write_ca(snapshot)
        serving = Serving(self.server.listeners, snapshot, logins(snapshot, self.picture.generated), ca)
        last = self._serving
        if last is not None and serving.snapshot is last.snapshot and serving.listeners == last.listeners:
            return
        if self.options.ready_file:
            write_private(self.options.ready_file.absolute(), json.dumps(as_json(serving), indent=2).encode() + b"\n")
        self._serving = serving
        if last is None or (serving.listeners, serving.logins) != (last.listeners, last.logins):
            self.say(text(serving))
        else:
            self.say(f"Generation {snapshot.generation} is served.")

    def _write_ca(self, snapshot: Snapshot) -> Path:
        """The CA beside the data, so that commands are short; the certificate itself where it is not ours."""
        path = self.options.data / "ca.pem"
        name = names.authority(snapshot.server.name)
        made = next((row for row in self.picture.generated.of("Secret") if row["metadata"]["name"] == name), None)
        pem = base64.b64decode(made["data"]["ca.crt"]) if made else snapshot.certificates[0].chain.encode()
        if not path.exists() or path.read_bytes() != pem:
            write_private(path.absolute(), pem)
        return path


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next((row for row in status.get("conditions", ()) if row["type"] == type_), {})


#: Reasons of what waits for another object: here it comes from nobody but the reader of this.
_AWAITED = frozenset({"Pending", "SecretNotFound"})


def _trouble(status: Mapping[str, Any]) -> str:
    """What somebody should do something about; "" for what passes by itself."""
    ready = _condition(status, "Ready")
    if ready.get("status") == "True" or not ready:
        return ""
    stalled = _condition(status, "Stalled").get("status") == "True"
    return f"{ready['reason']}: {ready['message']}" if stalled or ready["reason"] in _AWAITED else ""


def _published(path: Path) -> Snapshot | None:
    """What an earlier run published. Raises CannotStart when it cannot be read."""
    try:
        found = files.read_directory(path)
    except FileNotFoundError:
        return None
    except BadSnapshot as error:
        raise CannotStart(f"{path} is damaged: {error}") from error
    return found if isinstance(found, Snapshot) else None


def _locked(data: Path) -> int:
    """Take the data directory for this process. Raises CannotStart when another one has it."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise CannotStart(f"{data} is in use by another `postrider up`: give this one its own --data") from error
    return descriptor
