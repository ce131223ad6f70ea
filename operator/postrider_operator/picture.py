"""The operator's picture of the cluster: slim caches of every kind it looks at, filled by watches and own writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from postrider_operator.client import Client
from postrider_operator.informer import Cache, Informer, Key, Source
from postrider_operator.kinds import KINDS, Alias, DkimKey, Mailbox, MailDomain, MailServer
from postrider_operator.observed import Meta, MetaOnly, Pod, Raw, Service, StatefulSet, identity, reader, resource
from postrider_operator.paths import collection
from postrider_operator.plan.desired import SERVER_LABEL
from postrider_operator.world import Ref

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """How one kind is looked at."""

    kind: str
    decode: Callable[[Raw], Any]
    #: Only metadata crosses the wire.
    metadata_only: bool = False
    #: Only objects with these labels.
    selector: str = ""


#: What our own informers follow. MailServer, MailDomain and DkimKey come in through kopf (watch.py).
LOOKS: tuple[Look, ...] = (
    Look("Mailbox", resource(Mailbox)),
    Look("Alias", resource(Alias)),
    Look("Secret", reader(MetaOnly), metadata_only=True),
    Look("ConfigMap", reader(MetaOnly), metadata_only=True),
    Look("PodDisruptionBudget", reader(MetaOnly), metadata_only=True),
    Look("NetworkPolicy", reader(MetaOnly), metadata_only=True),
    Look("PersistentVolumeClaim", reader(MetaOnly), metadata_only=True, selector=SERVER_LABEL),
    Look("Service", reader(Service)),
    Look("StatefulSet", reader(StatefulSet)),
    Look("Pod", reader(Pod), selector=SERVER_LABEL),
)

_DECODE: dict[str, Callable[[Raw], Any]] = {
    **{kind.INFO.kind: resource(kind) for kind in KINDS},
    **{look.kind: look.decode for look in LOOKS},
}

#: Kinds of objects that can have a name we use.
CHILDREN = (
    "Secret",
    "ConfigMap",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Service",
    "StatefulSet",
)


class Seen(Protocol):
    """Is told of every change of the picture: kind, and the object before and after (None: not there)."""

    def __call__(self, kind: str, before: Any, now: Any) -> None:
        """Take note."""
        ...


class Picture:
    """All caches. Reading never waits."""

    def __init__(self) -> None:
        self._listeners: list[Seen] = []
        self._caches: dict[str, Cache[Any]] = {kind: Cache() for kind in _DECODE}
        self._informers: list[Informer[Any]] = []
        self._watched: set[str] = set()

    def tell(self, seen: Seen) -> None:
        """Have `seen` called for every change."""
        self._listeners.append(seen)

    def informers(self, client: Client, namespaces: Sequence[str], *, secrets: bool) -> Iterable[Informer[Any]]:
        """The informers to run, one for each kind and namespace (all namespaces when none is named)."""
        looks = [look for look in LOOKS if secrets or look.kind != "Secret"]
        self._watched = {look.kind for look in looks if not look.selector}
        self._informers = [self._informer(client, look, place) for look in looks for place in namespaces or ("",)]
        return self._informers

    def _informer(self, client: Client, look: Look, namespace: str) -> Informer[Any]:
        source = Source(collection(look.kind, namespace), look.decode, namespace, look.metadata_only, look.selector)
        return Informer(client, source, self._caches[look.kind], lambda before, now: self._seen(look.kind, before, now))

    async def complete(self) -> None:
        """Wait until every informer has listed its collection."""
        await asyncio.gather(*(informer.synced.wait() for informer in self._informers))

    def lacking(self) -> str:
        """Which collections have not been listed yet, "" when all have."""
        waiting = [informer.path for informer in self._informers if not informer.synced.is_set()]
        return f"not listed yet: {', '.join(waiting)}" if waiting else ""

    def take(self, kind: str, raw: Raw) -> Any:
        """Keep the object an answer to our own write showed; nobody is told."""
        item = _DECODE[kind](raw)
        self._caches[kind].put(item)
        return item

    def put(self, kind: str, raw: Raw) -> Key:
        """Keep an object that somebody else's watch has shown; one that cannot be read is logged and left out."""
        mark = identity(raw)
        key = mark.namespace, mark.name
        cache = self._caches[kind]
        try:
            item = _DECODE[kind](raw)
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("object not understood", extra={"kind": kind, "object": "/".join(key), "error": str(error)})
            return key
        before = cache.get(*key)
        if cache.put(item):
            self._seen(kind, before, item)
        return key

    def get(self, ref: Ref) -> Any:
        """An object, None when there is none."""
        return self._caches[ref.kind].get(ref.namespace, ref.name)

    def drop(self, ref: Ref) -> None:
        """Forget an object that is gone."""
        before = self._caches[ref.kind].drop((ref.namespace, ref.name))
        if before is not None:
            self._seen(ref.kind, before, None)

    def watches(self, kind: str) -> bool:
        """Whether what is not in the picture of this kind does not exist."""
        return kind in self._watched

    def meta(self, ref: Ref) -> Meta | None:
        """Metadata of a child."""
        found = self._caches[ref.kind].get(ref.namespace, ref.name)
        return None if found is None else found.metadata

    def within(self, kind: str, namespace: str) -> Iterator[Any]:
        """Objects of a kind in a namespace; of all with ""."""
        return self._caches[kind].within(namespace)

    def count(self, kind: str) -> int:
        """How many objects of a kind there are."""
        return len(self._caches[kind].items)

    def kinds(self) -> Iterable[str]:
        """All kinds in the picture."""
        return self._caches.keys()

    def servers(self, namespace: str) -> tuple[MailServer, ...]:
        """The MailServers of a namespace, by name."""
        return self._sorted("MailServer", namespace)

    def domains(self, namespace: str) -> tuple[MailDomain, ...]:
        """The MailDomains of a namespace, by name."""
        return self._sorted("MailDomain", namespace)

    def mailboxes(self, namespace: str) -> tuple[Mailbox, ...]:
        """The Mailboxes of a namespace, by name."""
        return self._sorted("Mailbox", namespace)

    def aliases(self, namespace: str) -> tuple[Alias, ...]:
        """The Aliases of a namespace, by name."""
        return self._sorted("Alias", namespace)

    def keys(self, namespace: str) -> tuple[DkimKey, ...]:
        """The DkimKeys of a namespace, by name."""
        return self._sorted("DkimKey", namespace)

    def _seen(self, kind: str, before: Any, now: Any) -> None:
        for seen in self._listeners:
            seen(kind, before, now)

    def _sorted(self, kind: str, namespace: str) -> tuple[Any, ...]:
        return tuple(sorted(self._caches[kind].within(namespace), key=lambda item: item.metadata.name))
