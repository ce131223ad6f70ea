"""kopf's part: it follows MailServer, MailDomain and DkimKey and keeps the picture of them; it never writes anything.

Mailbox and Alias, of which there are thousands, have our own informers (informer.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import kopf
import msgspec

from postrider_operator.client import Client
from postrider_operator.kinds import GROUP, VERSION, DkimKey, MailDomain, MailServer, Resource
from postrider_operator.observed import identity
from postrider_operator.paths import collection
from postrider_operator.picture import Picture
from postrider_operator.world import Ref

log = logging.getLogger(__name__)

#: What kopf follows.
KINDS: tuple[type[Resource], ...] = (MailServer, MailDomain, DkimKey)


class NoDiffBase(kopf.DiffBaseStorage):
    """Nothing of ours is stored in users' objects."""

    def fetch(self, *, body: kopf.Body) -> None:
        """There is none."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: Any) -> None:
        """Keep nothing."""


def registry(client: Client, picture: Picture) -> kopf.OperatorRegistry:
    """The handlers."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=client.credentials.server, aiohttp_session=client.session(0))

    for kind in KINDS:
        kopf.on.event(GROUP, VERSION, kind.INFO.plural, registry=handlers, id=f"see-{kind.INFO.plural}")(
            _follow(kind.INFO.kind, picture)
        )
    return handlers


def settings() -> kopf.OperatorSettings:
    """kopf without peering, Events, finalizers, annotations or a look at the CRDs."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.queueing.exit_timeout = 1.0
    chosen.process.ultimate_exiting_timeout = None
    return chosen


async def run(client: Client, picture: Picture, namespaces: Sequence[str], ready: asyncio.Event) -> None:
    """Follow the three kinds until cancelled; `ready` is set when kopf has started."""
    await kopf.operator(
        registry=registry(client, picture),
        settings=settings(),
        namespaces=list(namespaces),
        clusterwide=not namespaces,
        # Without peering it names nobody; kopf would look for our user's name, and a pod's user need not have one.
        identity=cast("Any", GROUP),
        ready_flag=ready,
    )


async def relist(
    client: Client, picture: Picture, namespaces: Sequence[str], kinds: Sequence[type[Resource]] = KINDS
) -> None:
    """Bring the picture of these kinds up to date by lists of our own.

    A new leader makes no plan before that: a MailDomain not yet seen would be one that was deleted. It also finds
    deletions that kopf missed while its watch was broken. What the watches tell while the list is under way is newer
    than the list: an object they have dropped is not put back, one they have seen made anew stays. Raises ApiError,
    Unreachable.
    """
    for kind in kinds:
        name = kind.INFO.kind
        for namespace in namespaces or ("",):
            known = {_ref(name, item): item.metadata.uid for item in picture.within(name, namespace)}
            listed = set()
            async for page in client.pages(collection(name, namespace)):
                for raw in page.items or ():
                    mark = identity(raw)
                    ref = Ref(name, mark.namespace, mark.name)
                    listed.add(ref)
                    if ref not in known or picture.get(ref) is not None:
                        picture.put(name, raw)
            for ref in known.keys() - listed:
                now = picture.get(ref)
                if now is not None and now.metadata.uid == known[ref]:
                    picture.drop(ref)


def _ref(kind: str, item: Resource) -> Ref:
    return Ref(kind, item.metadata.namespace, item.metadata.name)


def _follow(kind: str, picture: Picture) -> Any:
    async def see(event: kopf.RawEvent, **_: Any) -> None:
        raw = event["object"]
        if event["type"] == "DELETED":
            metadata = raw["metadata"]
            picture.drop(Ref(kind, metadata.get("namespace", ""), metadata["name"]))
        else:
            picture.put(kind, msgspec.json.encode(raw))

    return see
