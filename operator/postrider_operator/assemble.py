"""Puts a World together: everything one MailServer depends on, from the picture and what is read where it is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from postrider_operator.hashing import Hashing
from postrider_operator.lookups import Lookups
from postrider_operator.observe import Observer
from postrider_operator.observed import Meta, Service, StatefulSet
from postrider_operator.picture import CHILDREN, Picture
from postrider_operator.plan import known_names, names, wanted_secrets
from postrider_operator.plan.desired import SERVER_LABEL
from postrider_operator.plan.secrets import unhashed
from postrider_operator.published import Published
from postrider_operator.secrets import Secrets
from postrider_operator.world import Child, Defaults, Ref, Workload, World

#: Namespace and name of a MailServer.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a World comes from."""

    picture: Picture
    secrets: Secrets
    published: Published
    hashing: Hashing
    observer: Observer
    lookups: Lookups


class Assembler:
    """Makes Worlds."""

    def __init__(self, sources: Sources, defaults: Defaults) -> None:
        self._from = sources
        self._defaults = defaults
        #: The command that brings the CRDs up to date, "" when they are.
        self.crds_outdated = ""

    async def world(self, key: Key) -> World:
        """The World of a MailServer now. Raises ApiError, Unreachable when what was published cannot be read."""
        picture = self._from.picture
        namespace, name = key
        last = await self._from.published.last(key)
        servers = picture.servers(namespace)
        world = World(
            namespace=namespace,
            name=name,
            now=time.time(),
            server=next((server for server in servers if server.name == name), None),
            servers=servers,
            domains=picture.domains(namespace),
            mailboxes=picture.mailboxes(namespace),
            aliases=picture.aliases(namespace),
            keys=picture.keys(namespace),
            previous=last.snapshot,
            manifest_version=last.manifest_version,
            dns=self._from.lookups.answers(key),
            defaults=self._defaults,
            crds_outdated=self.crds_outdated,
        )
        found = await self._from.secrets.read(namespace, wanted_secrets(world))
        world = replace(world, secrets=found.secrets, unreadable=found.unreadable)
        await self._from.hashing.make(key, await asyncio.to_thread(unhashed, world))
        pods = await self._from.observer.pods(key)
        return replace(
            world,
            verifiers=self._from.hashing.made(key),
            children=tuple(self._children(world)),
            pods=pods,
            workload=workload(picture, key),
        )

    def _children(self, world: World) -> Iterable[Child]:
        """What has a name we use, or our label."""
        known = known_names(world)
        refs = {ref for ref in known if ref.kind in CHILDREN}
        for kind in CHILDREN:
            for item in self._from.picture.within(kind, world.namespace):
                if item.metadata.labels.get(SERVER_LABEL) == world.name:
                    refs.add(Ref(kind, world.namespace, item.metadata.name))
        metas = ((ref, self._from.picture.meta(ref)) for ref in sorted(refs, key=lambda ref: (ref.kind, ref.name)))
        return [_child(ref, meta) for ref, meta in metas if meta is not None]


def workload(picture: Picture, key: Key) -> Workload:
    """The StatefulSet and the mail Service of a MailServer, as far as there are any."""
    namespace, name = key
    service = picture.get(Ref("Service", namespace, names.mail(name)))
    addresses = service.addresses if isinstance(service, Service) else ()
    found = picture.get(Ref("StatefulSet", namespace, names.mail(name)))
    if not isinstance(found, StatefulSet):
        return Workload(addresses=addresses)
    status = found.status
    return Workload(
        replicas=status.replicas,
        ready=status.ready_replicas,
        updated=status.updated_replicas,
        observed=status.observed_generation >= found.metadata.generation,
        update_revision=status.update_revision,
        addresses=addresses,
    )


def _child(ref: Ref, meta: Meta) -> Child:
    return Child(ref, meta.uid, meta.resource_version, meta.labels, meta.annotations)
