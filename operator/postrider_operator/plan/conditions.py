"""Conditions: built from verdicts, keeping the moment of the last transition while the status stays."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postrider_operator.kinds import Resource
from postrider_operator.world import World

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
#: metav1.Condition allows 32,768; this is enough for people.
_MAX_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says."""

    status: str
    #: CamelCase, for programs.
    reason: str
    #: For people, with what to do.
    message: str


def conditions(world: World, resource: Resource, verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """The conditions of an object, sorted by type so that the same verdicts give the same list."""
    return [_condition(world, resource, type_, verdict) for type_, verdict in sorted(verdicts.items())]


def time(seconds: float) -> str:
    """A moment as metav1.Time writes it."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(world: World, resource: Resource, type_: str, verdict: Verdict) -> dict[str, Any]:
    last = resource.condition(type_)
    since = last.get("lastTransitionTime") if last.get("status") == verdict.status else None
    message = verdict.message if len(verdict.message) <= _MAX_MESSAGE else verdict.message[: _MAX_MESSAGE - 3] + "..."
    return {
        "type": type_,
        "status": verdict.status,
        "observedGeneration": resource.metadata.generation,
        "lastTransitionTime": since or time(world.now),
        "reason": verdict.reason,
        "message": message,
    }
