"""Whether what is declared is what is served: the Ready condition of domains, mailboxes, aliases and keys.

Ready means: at least one pod is ready, and every ready pod has loaded the generation in which the object's row last
changed. Once true it stays true for that generation of the row, whatever pods do: outages show on the MailServer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from postrider_operator.kinds import Resource
from postrider_operator.plan.conditions import FALSE, TRUE, Verdict
from postrider_operator.plan.findings import BUSY, Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.world import World


@dataclass(frozen=True, slots=True)
class Row:
    """What the snapshot has of an object."""

    #: Generation in which it last changed; 0: it is not in the snapshot.
    changed: int
    #: What Ready says when it is true.
    message: str


def verdicts(world: World, resource: Resource, row: Row, findings: Findings) -> Mapping[str, Verdict]:
    """Ready and, while they hold, Reconciling or Stalled (kstatus)."""
    fault = findings.blocking(ref(resource))
    if fault is not None and fault.reason != BUSY:
        return _faulty(fault, row)
    if fault is None and row.changed and (_was_ready(resource, row.changed) or _loaded(world, row.changed)):
        warnings = " ".join(f"{warning}" for warning in findings.warnings(ref(resource)))
        return {"Ready": Verdict(TRUE, "Serving", f"{row.message} {warnings}".strip())}
    # One wording for all the steps on the way, so that none of them is a write of its own.
    told = f"It is being prepared and loaded. If that takes longer, see the status of MailServer {world.name}."
    return {"Ready": Verdict(FALSE, BUSY, told), "Reconciling": Verdict(TRUE, BUSY, told)}


def no_server(name: str) -> Finding:
    """The finding for objects whose MailServer does not exist."""
    return Finding("Pending", f"there is no MailServer {name}", "It will serve when there is one.", waits=True)


def _faulty(fault: Finding, row: Row) -> Mapping[str, Verdict]:
    served = " Until then its last good state is served." if row.changed else ""
    message = f"{fault}{served}"
    other = "Reconciling" if fault.waits else "Stalled"
    return {"Ready": Verdict(FALSE, fault.reason, message), other: Verdict(TRUE, fault.reason, message)}


def _was_ready(resource: Resource, changed: int) -> bool:
    return resource.condition("Ready").get("status") == TRUE and resource.status.get("configGeneration") == changed


def _loaded(world: World, generation: int) -> bool:
    ready = [pod for pod in world.pods if pod.ready]
    return bool(ready) and all(pod.loaded >= generation for pod in ready)
