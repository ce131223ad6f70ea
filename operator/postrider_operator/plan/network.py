"""The ways in: the Service with the mail ports, the headless one, NetworkPolicy and PodDisruptionBudget."""

from __future__ import annotations

from typing import Any

from postrider_operator.kinds import MailServer
from postrider_operator.plan import children, names
from postrider_operator.plan.desired import Apply
from postrider_operator.plan.findings import Findings
from postrider_operator.plan.mine import ref
from postrider_operator.plan.secrets import name_taken
from postrider_operator.plan.workload import HEALTH_PORT, MAIL_PORTS, METRICS_PORT
from postrider_operator.world import Ref, World


def network(world: World, server: MailServer, findings: Findings) -> list[Apply]:
    """All of them but those whose name is taken."""
    selector = names.selector(world.name)
    annotations = dict(server.spec.service.annotations)
    bodies: tuple[tuple[str, str, dict[str, Any], dict[str, str]], ...] = (
        ("Service", names.pods(world.name), _headless(selector), {}),
        ("Service", names.mail(world.name), _mail(server, selector), annotations),
        ("PodDisruptionBudget", names.mail(world.name), _disruption(selector), {}),
        ("NetworkPolicy", names.mail(world.name), _policy(world, selector), {}),
    )
    taken = children.taken(world)
    applies = []
    for kind, name, spec, notes in bodies:
        at = Ref(kind, world.namespace, name)
        if at in taken:
            findings.add(ref(server), name_taken(at))
            continue
        applies.append(children.apply(at, {"spec": spec}, world.name, server, notes))
    return applies


def _mail(server: MailServer, selector: dict[str, str]) -> dict[str, Any]:
    service = server.spec.service
    spec: dict[str, Any] = {
        "type": service.type,
        "selector": selector,
        "ipFamilyPolicy": "PreferDualStack",
        "ports": [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port, _ in MAIL_PORTS],
    }
    if service.type != "ClusterIP":
        spec["externalTrafficPolicy"] = service.external_traffic_policy
    if service.type == "LoadBalancer":
        given = {"loadBalancerIP": service.load_balancer_ip, "loadBalancerClass": service.load_balancer_class}
        spec |= {name: value for name, value in given.items() if value}
    return spec


def _headless(selector: dict[str, str]) -> dict[str, Any]:
    return {
        "clusterIP": "None",
        "selector": selector,
        "publishNotReadyAddresses": True,
        "ports": [
            {"name": "health", "port": HEALTH_PORT, "targetPort": "health", "protocol": "TCP"},
            {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
        ],
    }


def _disruption(selector: dict[str, str]) -> dict[str, Any]:
    # Not minAvailable: with one replica that would block every drain of a node.
    return {"maxUnavailable": 1, "selector": {"matchLabels": selector}}


def _policy(world: World, selector: dict[str, str]) -> dict[str, Any]:
    """Mail from everywhere; health from the operator and this namespace; metrics from inside the cluster."""
    own: dict[str, Any] = {"podSelector": {}}
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.defaults.operator_namespace}}
    }
    health = [own, operator] if world.defaults.operator_namespace else [own]
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": name, "protocol": "TCP"} for name, _, _ in MAIL_PORTS]},
            {"ports": [{"port": "health", "protocol": "TCP"}], "from": health},
            {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]},
        ],
    }
