"""The MailServer's status: availability, rollout, configuration and certificate."""

from __future__ import annotations

from typing import Any

from postrider.contract.model import Snapshot
from postrider_operator.kinds import MailServer
from postrider_operator.plan.certificates import Certificates
from postrider_operator.plan.conditions import FALSE, TRUE, UNKNOWN, Verdict
from postrider_operator.plan.findings import Finding, Findings
from postrider_operator.plan.mine import ref
from postrider_operator.plan.snapshot import ACKNOWLEDGE, Published
from postrider_operator.plan.status import Statuses
from postrider_operator.world import Ref, World


def put(
    world: World, server: MailServer, published: Published, issued: Certificates, to: tuple[Findings, Statuses]
) -> None:
    """Note the MailServer's status."""
    findings, result = to
    snapshot = published.snapshot
    found = {
        "Ready": _ready(world, server, snapshot, findings),
        "ConfigSynced": _synced(world, server, published),
        "CertificateReady": _certificate(issued),
    }
    found |= _progress(world, server, found["Ready"], findings)
    if world.crds_outdated:
        message = f"The cluster's CRDs are older than the operator. Run: {world.crds_outdated}"
        found["CRDsOutdated"] = Verdict(TRUE, "CRDsOutdated", message)
    fields: dict[str, Any] = {
        "generation": _served(world, server, snapshot),
        "replicas": world.workload.replicas,
        "readyReplicas": world.workload.ready,
        "addresses": list(world.workload.addresses),
    }
    result.put(world, server, found, **fields)


def refused(at: Ref, said: str) -> Finding:
    """The finding for a child that the API server refuses to make as it is planned."""
    action = "Correct what the MailServer's spec says of it, or what forbids it; it is tried again."
    return Finding("ApplyFailed", f"{at.kind} {at.name} cannot be made as declared: {said}", action)


def _ready(world: World, server: MailServer, snapshot: Snapshot | None, findings: Findings) -> Verdict:
    fault = findings.blocking(ref(server))
    ready = [pod for pod in world.pods if pod.ready]
    if server.spec.replicas == 0:
        return Verdict(FALSE, "ScaledToZero", "spec.replicas is 0. Set it to 1 to serve.")
    if not ready:
        return Verdict(FALSE, fault.reason, str(fault)) if fault is not None else _unavailable(world, snapshot)
    if not any(pod.loaded for pod in ready):
        return Verdict(FALSE, "Loading", "The pods have not loaded their configuration yet.")
    if fault is not None:
        return Verdict(FALSE, fault.reason, f"{fault} Until then the last good state is served.")
    warnings = " ".join(str(warning) for warning in findings.warnings(ref(server)))
    return Verdict(TRUE, "Serving", f"{len(ready)} of {server.spec.replicas} pods serve. {warnings}".strip())


def _unavailable(world: World, snapshot: Snapshot | None) -> Verdict:
    if snapshot is None:
        return Verdict(FALSE, "Generating", "The certificate is being made.")
    troubled = next((pod for pod in world.pods if pod.trouble), None)
    if troubled is not None:
        return Verdict(FALSE, "PodFailing", f"Pod {troubled.name}: {troubled.trouble}. See kubectl describe pod.")
    return Verdict(FALSE, "Starting", "No pod is ready yet.")


def _progress(world: World, server: MailServer, ready: Verdict, findings: Findings) -> dict[str, Verdict]:
    fault = findings.blocking(ref(server))
    if fault is not None and not fault.waits:
        return {"Stalled": Verdict(TRUE, fault.reason, str(fault))}
    if ready.reason == "PodFailing":
        return {"Stalled": Verdict(TRUE, ready.reason, ready.message)}
    state = world.workload
    rolling = state.observed and (state.updated < server.spec.replicas or state.ready < server.spec.replicas)
    if ready.status != TRUE and ready.reason != "ScaledToZero":
        return {"Reconciling": Verdict(TRUE, ready.reason, ready.message)}
    if rolling and not world.local:
        message = (
            f"{state.updated} of {server.spec.replicas} pods are of the present revision, {state.ready} are ready."
        )
        return {"Reconciling": Verdict(TRUE, "RollingOut", message)}
    return {}


def _synced(world: World, server: MailServer, published: Published) -> Verdict:
    snapshot = published.snapshot
    if snapshot is None:
        return Verdict(UNKNOWN, "NotPublished", "Nothing has been published yet.")
    refusing = next((pod for pod in world.pods if pod.refused == snapshot.generation), None)
    if refusing is not None:
        message = (
            f"{refusing.name} refused generation {refusing.refused}: {refusing.refusal}. This is a bug of the operator."
        )
        return Verdict(FALSE, "Refused", message)
    if published.held is not None:
        held = published.held
        message = (
            f"Generation {held.generation} would drop {held.lost} of {held.of} mailboxes; they are kept. If that is "
            f"meant, annotate: kubectl annotate mailserver {world.name} {ACKNOWLEDGE}={held.generation} --overwrite"
        )
        return Verdict(FALSE, "Held", message)
    if _served(world, server, snapshot) == snapshot.generation:
        return Verdict(TRUE, "Loaded", "Every pod serves what is declared.")
    last = server.condition("ConfigSynced")
    if last.get("status") == TRUE:
        # Loading takes a second; that is not worth a write of its own.
        return Verdict(TRUE, last.get("reason", "Loaded"), last.get("message", ""))
    return Verdict(FALSE, "Loading", f"Waiting for the pods to load generation {snapshot.generation}.")


def _served(world: World, server: MailServer, snapshot: Snapshot | None) -> int:
    """The published generation once every ready pod has loaded it, before that the one before."""
    ready = [pod for pod in world.pods if pod.ready]
    if snapshot is not None and ready and all(pod.loaded >= snapshot.generation for pod in ready):
        return snapshot.generation
    return int(server.status.get("generation", 0))


def _certificate(issued: Certificates) -> Verdict:
    if issued.finding is not None:
        used = " Until then another certificate is used." if issued.rows else ""
        return Verdict(FALSE, issued.finding.reason, f"{issued.finding}{used}")
    if not issued.rows:
        return Verdict(FALSE, "Generating", "The certificate is being made.")
    return Verdict(TRUE, "Valid", f"It is for {', '.join(issued.rows[0].names)}.")
