"""The operator's process: wires everything, elects a leader, ends in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from postrider_operator import crds, logs, rights, settings, watch
from postrider_operator.apply import Applier
from postrider_operator.assemble import Assembler, Sources
from postrider_operator.client import ApiError, Client, Unreachable
from postrider_operator.credentials import Credentials, NoCredentials
from postrider_operator.events import Recorder
from postrider_operator.hashing import Hashing
from postrider_operator.kinds import KINDS, Resource
from postrider_operator.lease import Lease, LostLease, Place
from postrider_operator.lookups import Dns, Lookups, Rate
from postrider_operator.metrics import Metrics
from postrider_operator.observe import Observer
from postrider_operator.picture import Picture
from postrider_operator.probes import Probes
from postrider_operator.published import Published
from postrider_operator.reconcile import Hands, Reconciler
from postrider_operator.secrets import Secrets
from postrider_operator.settings import Settings
from postrider_operator.world import Defaults

log = logging.getLogger(__name__)

#: Seconds between two looks at the served CRDs.
CRDS_PAUSE = 300.0


@dataclass(frozen=True, slots=True)
class Operator:
    """Everything that runs in this process."""

    settings: Settings
    client: Client
    #: Has a connection of its own: a renewal never waits behind thousands of writes.
    lease_client: Client
    metrics: Metrics
    picture: Picture
    sources: Sources
    reconciler: Reconciler
    assembler: Assembler
    hands: Hands
    kopf_ready: asyncio.Event


def build(chosen: Settings, credentials: Credentials) -> Operator:
    """Make and wire all parts; nothing runs yet."""
    client = Client(credentials, connections=chosen.connections)
    metrics = Metrics()
    picture = Picture()
    secrets = Secrets(client, picture, watched=chosen.secrets == "watch", lifetime=chosen.resync_seconds)
    hands = Hands(Applier(client, picture, secrets, metrics), Recorder(client, chosen.identity, metrics), metrics)
    reconciler = Reconciler(picture, hands, resync=chosen.resync_seconds)
    for listener in (secrets.seen, hands.applier.seen, reconciler.seen):
        picture.tell(listener)
    observer = Observer(client, picture, reconciler.mark, metrics)
    observer.port = chosen.status_port
    rate = Rate(chosen.dns_seconds, chosen.dns_rate)
    lookups = Lookups(Dns(chosen.nameservers), rate, reconciler.mark, metrics)
    sources = Sources(picture, secrets, Published(client, picture), Hashing(reconciler.mark), observer, lookups)
    defaults = Defaults(
        image=chosen.server_image,
        pull_policy=chosen.server_image_pull_policy,
        pull_secrets=chosen.server_image_pull_secrets,
        operator_namespace=chosen.operator_namespace,
    )
    assembler = Assembler(sources, defaults)
    return Operator(
        settings=chosen,
        client=client,
        lease_client=Client(credentials, connections=1),
        metrics=metrics,
        picture=picture,
        sources=sources,
        reconciler=reconciler,
        assembler=assembler,
        hands=hands,
        kopf_ready=asyncio.Event(),
    )


async def run(chosen: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises LostLease, NoCredentials."""
    operator = build(chosen, Credentials.load())
    probes = Probes(
        operator.metrics,
        alive={"queue": operator.reconciler.stuck},
        ready={"kopf": lambda: _kopf(operator), "informers": operator.picture.lacking},
    )
    stop = asyncio.Event()
    port = await probes.start(chosen.http)
    log.info("started", extra={"identity": chosen.identity, "port": port, "server": operator.client.credentials.server})
    working = asyncio.create_task(_work(operator, stop))
    stopping = asyncio.create_task(stop.wait())
    _on_signals(stop)
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        results = await asyncio.gather(working, return_exceptions=True)
        operator.sources.hashing.close()
        await operator.sources.observer.close()
        await operator.client.close()
        await operator.lease_client.close()
        await probes.stop()
        log.info("stopped")
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _work(operator: Operator, stop: asyncio.Event) -> None:
    chosen, client = operator.settings, operator.client
    await crds.wait_until_served(client)
    watched = chosen.secrets == "watch"
    for line in await rights.missing(client, chosen.namespaces, watch_secrets=watched):
        log.error("a right is missing", extra={"right": line})
    async with asyncio.TaskGroup() as tasks:
        for informer in operator.picture.informers(client, chosen.namespaces, secrets=watched):
            tasks.create_task(informer.run(), name=f"informer of {informer.path}")
        tasks.create_task(_kopf_until(operator, stop), name="kopf")
        tasks.create_task(operator.hands.recorder.run(), name="events")
        await operator.kopf_ready.wait()
        _on_signals(stop)  # kopf has put its own handlers in their place
        if chosen.leader_election:
            place = Place(chosen.operator_namespace, chosen.lease_name, chosen.identity)
            await Lease(operator.lease_client, place).lead(lambda: _lead(operator))
        else:
            await _lead(operator)


async def _kopf_until(operator: Operator, stop: asyncio.Event) -> None:
    """Run kopf; when it ends (a signal reached it), all ends."""
    try:
        await watch.run(operator.client, operator.picture, operator.settings.namespaces, operator.kopf_ready)
    finally:
        stop.set()


async def _lead(operator: Operator) -> None:
    """Act: only one replica does."""
    operator.metrics.observe("postrider_operator_leader", 1)
    try:
        await operator.picture.complete()
        await _relist(operator, KINDS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_look_at_crds(operator), name="crds")
            tasks.create_task(_look_for_missed(operator), name="missed deletions")
            tasks.create_task(operator.sources.lookups.run(), name="dns")
            tasks.create_task(operator.reconciler.run(operator.assembler, operator.sources), name="queue")
    finally:
        operator.metrics.observe("postrider_operator_leader", 0)


async def _look_at_crds(operator: Operator) -> None:
    while True:
        served = await crds.read(operator.client)
        if served.command != operator.assembler.crds_outdated:
            operator.reconciler.mark_all()
        operator.hands.applier.schemas = served
        operator.assembler.crds_outdated = served.command
        await asyncio.sleep(CRDS_PAUSE)


async def _look_for_missed(operator: Operator) -> None:
    """Find what kopf's watches missed."""
    while True:
        await asyncio.sleep(operator.settings.resync_seconds)
        await _relist(operator, watch.KINDS)


async def _relist(operator: Operator, kinds: Sequence[type[Resource]]) -> None:
    """List anew, as often as it takes."""
    while True:
        try:
            await watch.relist(operator.client, operator.picture, operator.settings.namespaces, kinds)
        except (ApiError, Unreachable) as error:
            log.warning("not listed", extra={"error": str(error)})
            await asyncio.sleep(2.0)
        else:
            return


def _kopf(operator: Operator) -> str:
    return "" if operator.kopf_ready.is_set() else "not started yet"


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def main() -> None:
    """The console script."""
    chosen = settings.read(sys.argv[1:])
    logs.start(chosen.log_level)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(chosen))
    except (LostLease, NoCredentials, OSError) as error:
        log.critical("ended", extra={"error": str(error)})
        sys.exit(1)
    except BaseExceptionGroup as group:
        log.critical("ended", extra={"error": str(group)}, exc_info=group)
        sys.exit(1)


if __name__ == "__main__":
    main()
