"""The CustomResourceDefinitions as they are served: whether they are older than this operator, and what they know."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postrider_operator import drift
from postrider_operator.client import ApiError, Client, NotFound, Unreachable
from postrider_operator.kinds import BY_NAME, GROUP, KINDS, VERSION
from postrider_operator.schemas import definition

log = logging.getLogger(__name__)

#: How to bring them up to date: Helm never does.
COMMAND = "kubectl apply --server-side -f crds/"
#: Seconds between two looks for CRDs that are not there.
PAUSE = 2.0

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """Schemas of the status of kinds whose CRD is older than ours, by kind; empty when all are up to date."""

    outdated: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that brings the CRDs up to date, "" when they are."""
        return COMMAND if self.outdated else ""

    def pruned(self, kind: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """A status without what the served schema does not know; the API server would answer 500 to that."""
        return pruned(status, self.outdated[kind]) if kind in self.outdated else status


async def wait_until_served(client: Client) -> None:
    """Wait until the API server serves our group."""
    told = False
    while True:
        try:
            served = await client.get(f"/apis/{GROUP}/{VERSION}")
            names = {row["name"] for row in served.get("resources", ())}
            missing = [kind.INFO.plural for kind in KINDS if kind.INFO.plural not in names]
        except NotFound:
            missing = [kind.INFO.plural for kind in KINDS]
        except (ApiError, Unreachable) as error:
            log.warning("API server not reached", extra={"error": str(error)})
            missing = ["unknown"]
        if not missing:
            return
        if not told:
            log.warning("waiting for CustomResourceDefinitions", extra={"missing": missing, "command": COMMAND})
            told = True
        await asyncio.sleep(PAUSE)


async def read(client: Client) -> Served:
    """Compare what is served with what this operator was built with. What may not be read counts as up to date."""
    outdated: dict[str, Schema] = {}
    for kind, wanted in (await asyncio.to_thread(_wanted)).items():
        try:
            live = await client.find(f"{CRDS}/{BY_NAME[kind].INFO.plural}.{GROUP}")
        except (ApiError, Unreachable) as error:
            log.warning("CustomResourceDefinition not read", extra={"kind": kind, "error": str(error)})
            continue
        served = _schema(live or {})
        if not drift.holds(served, wanted):
            outdated[kind] = served.get("properties", {}).get("status", {})
    if outdated:
        log.error("CustomResourceDefinitions are outdated", extra={"kinds": sorted(outdated), "command": COMMAND})
    return Served(outdated)


def pruned(value: Any, schema: Schema) -> Any:
    """A value without the properties its structural schema does not name."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return value
    if isinstance(value, Mapping):
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping):
            return {name: pruned(part, values) for name, part in value.items()}
        known = schema.get("properties", {})
        return {name: pruned(part, known[name]) for name, part in value.items() if name in known}
    if isinstance(value, list | tuple):
        return [pruned(part, schema.get("items", {})) for part in value]
    return value


@functools.cache
def _wanted() -> Mapping[str, Schema]:
    """Our schemas by kind."""
    return {kind.INFO.kind: _without_prose(_schema(definition(kind))) for kind in KINDS}


def _without_prose(schema: Any) -> Any:
    """A schema without descriptions: other words are no other schema."""
    if isinstance(schema, Mapping):
        return {
            key: _without_prose(part)
            for key, part in schema.items()
            if not (key == "description" and isinstance(part, str))
        }
    return [_without_prose(part) for part in schema] if isinstance(schema, list) else schema


def _schema(crd: Mapping[str, Any]) -> Schema:
    versions = crd.get("spec", {}).get("versions", ())
    found: Schema = next((row for row in versions if row["name"] == VERSION), {})
    schema: Schema = found.get("schema", {}).get("openAPIV3Schema", {})
    return schema
