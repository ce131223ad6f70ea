"""2,000 Mailboxes applied at once: Ready in under 60 s, the operator below 150 MB."""

import threading
import time

from kube.cluster import Cluster, condition
from kube.manifests import mail_domain, mail_server, mailbox
from kube.operator_process import Operator

MAILBOXES = 2000
#: The goal on two quiet cores; a busy machine gets three times as long before it is called a failure.
SECONDS = 60.0
PATIENCE = 3 * SECONDS
MEMORY = 150 * 2**20


def test_two_thousand_mailboxes(cluster: Cluster, operator: Operator, namespace: str) -> None:
    cluster.apply(namespace, mail_server(), mail_domain("many.test"), mailbox("u0@many.test"))
    cluster.wait_ready("Mailbox", namespace, "u0", 150)
    peak = Peak(operator)
    peak.start()
    begun = time.monotonic()
    create(cluster, namespace)
    applied = time.monotonic() - begun
    while (left := not_ready(cluster, namespace)) and time.monotonic() - begun < PATIENCE:
        time.sleep(2)
    took = time.monotonic() - begun
    peak.stopped.set()
    peak.join()
    memory = f"operator {peak.bytes / 2**20:.0f} MB"
    print(f"{MAILBOXES} Mailboxes: applied in {applied:.1f} s, Ready after {took:.1f} s (goal {SECONDS:.0f}); {memory}")
    assert not left, f"{left} are not Ready after {took:.0f} s"
    assert peak.bytes < MEMORY


def create(cluster: Cluster, namespace: str) -> None:
    """All of them, over a few connections: what a GitOps tool would do."""
    path = cluster.path("Mailbox", namespace)
    numbers = iter(range(1, MAILBOXES))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            cluster.api.create(path, mailbox(f"u{number}@many.test"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def not_ready(cluster: Cluster, namespace: str) -> int:
    """How many are missing."""
    found = cluster.list("Mailbox", namespace)
    return MAILBOXES - sum(condition(item).get("status") == "True" for item in found)


class Peak(threading.Thread):
    """The most memory the operator had while we looked."""

    def __init__(self, operator: Operator) -> None:
        super().__init__(daemon=True)
        self.operator, self.bytes, self.stopped = operator, 0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            for replica in list(self.operator.replicas.values()):
                self.bytes = max(self.bytes, replica.process.resident())
