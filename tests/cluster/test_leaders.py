"""Two replicas: the second takes over within 20 s when the leader is killed; nothing is done twice."""

import time
from collections.abc import Iterator

import pytest
from kube.cluster import Cluster, wait
from kube.manifests import mail_domain, mail_server, mailbox
from kube.operator_process import Operator

#: The goal on two quiet cores; a busy machine gets three times as long before it is called a failure.
SECONDS = 20.0
PATIENCE = 3 * SECONDS


@pytest.fixture
def two(operator: Operator) -> Iterator[Operator]:
    """The session's replica and a second one; afterwards one is left."""
    if "first" not in operator.replicas:
        operator.start("first")
    operator.start("second")
    yield operator
    if "first" not in operator.replicas:
        operator.start("first")
    operator.stop("second")


def leader(operator: Operator) -> str:
    leases = operator.cluster.list("Lease", operator.chart.namespace)
    holders = {lease["spec"].get("holderIdentity", "") for lease in leases}
    return next((holder for holder in holders if holder in operator.replicas), "")


def test_the_second_takes_over(two: Operator, cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, mail_server(), mail_domain("one.test"), mailbox("alice@one.test"))
    cluster.wait_ready("Mailbox", namespace, "alice", 150)
    first = wait("there is a leader", lambda: leader(two) or None, 60)
    two.stop(first, kill=True)
    killed = time.monotonic()
    cluster.apply(namespace, mailbox("bob@one.test"))
    wait("another leads", lambda: leader(two) or None, 60)
    cluster.wait_ready("Mailbox", namespace, "bob", PATIENCE - (time.monotonic() - killed))
    print(f"taken over {time.monotonic() - killed:.1f} s after the kill (goal {SECONDS:.0f})")
