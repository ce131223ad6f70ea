"""No write when nothing changed: counted in the API server's audit log for the operator's user."""

import time
from collections.abc import Iterator

import pytest
from kube.audit import Audit
from kube.cluster import Cluster, condition, wait
from kube.mail_site import MailSite
from kube.manifests import alias, mail_domain, mail_server, mailbox
from kube.operator_process import Operator
from kube.stage import Stage

OBJECTS = (
    mail_server(),
    mail_domain("one.test"),
    mailbox("alice@one.test"),
    mailbox("bob@one.test"),
    alias("team@one.test", "alice@one.test", "bob@one.test"),
)
OURS = ("MailServer", "MailDomain", "Mailbox", "Alias", "DkimKey")
CHILDREN = ("ConfigMap", "Secret", "Service", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy")
USERS_OBJECTS = {"maildomains", "mailboxes", "aliases", "dkimkeys"}
IGNORED = ("leases",)


@pytest.fixture(scope="module")
def site(cluster: Cluster, operator: Operator, stage: Stage) -> Iterator[MailSite]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster.namespace("quiet", labels) as namespace:
        cluster.apply(namespace, *OBJECTS)
        for made in OBJECTS:
            cluster.wait_ready(made["kind"], namespace, made["metadata"]["name"], 150)
        cluster.wait_ready("MailServer", namespace, "default")
        if stage.audit is None:
            pytest.skip("the cluster of KUBECONFIG shows no audit log")
        wait("the beginning is over", lambda: rests(stage.audit, operator, namespace), 90)
        yield MailSite(cluster, namespace)


def rests(audit: Audit, operator: Operator, namespace: str) -> bool:
    """Whether nothing is written for three seconds: the last statuses and events of the beginning are."""
    mark = audit.mark()
    time.sleep(3)
    return not [row for row in audit.writes(operator.user, mark, IGNORED) if row.namespace == namespace]


def versions(site: MailSite) -> dict[str, dict[str, object]]:
    """resourceVersion of everything of ours, and its status to see what has changed."""
    return {
        f"{kind}/{found['metadata']['name']}": {
            "version": found["metadata"]["resourceVersion"],
            "status": found.get("status"),
        }
        for kind in (*OURS, *CHILDREN)
        for found in site.cluster.list(kind, site.namespace)
    }


def quiet(site: MailSite, operator: Operator, audit: Audit, since: int, seconds: float = 5.0) -> None:
    """Nothing is written for a while, and nothing was since the mark; everything is as it was at its beginning."""
    before = versions(site)
    time.sleep(seconds)
    mine = [row for row in audit.writes(operator.user, since, IGNORED) if row.namespace == site.namespace]
    assert versions(site) == before
    assert mine == []


def test_rest_is_quiet(site: MailSite, operator: Operator, audit: Audit) -> None:
    quiet(site, operator, audit, audit.mark())


def test_an_apply_of_the_same_leaves_no_trace(site: MailSite, operator: Operator, audit: Audit) -> None:
    before, mark = versions(site), audit.mark()
    site.cluster.apply(site.namespace, *OBJECTS)
    time.sleep(4)
    assert versions(site) == before
    quiet(site, operator, audit, mark, 1.0)


def test_a_new_leader_writes_nothing(site: MailSite, operator: Operator, audit: Audit) -> None:
    before = versions(site)
    for identity in list(operator.replicas):
        operator.stop(identity)
    mark = audit.mark()
    operator.start("first")
    time.sleep(12)
    assert versions(site) == before
    quiet(site, operator, audit, mark, 3.0)


def test_a_pod_restart_is_seen_on_the_server_only(site: MailSite, operator: Operator, audit: Audit) -> None:
    counted = ("MailServer", "StatefulSet", "PodDisruptionBudget")  # by their own controllers, too
    before = {key: value for key, value in versions(site).items() if not key.startswith(counted)}
    pod, mark = site.pod(), audit.mark()
    assert pod is not None
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]  # type: ignore[index]
    site.cluster.delete("Pod", site.namespace, name)

    def back() -> bool:
        found = site.cluster.find("Pod", site.namespace, name)
        return bool(found and found["metadata"]["uid"] != uid and condition(found).get("status") == "True")

    wait("the pod is back", back, 60)
    site.cluster.wait_ready("MailServer", site.namespace, "default")
    time.sleep(5)
    mine = [row for row in audit.writes(operator.user, mark, IGNORED) if row.namespace == site.namespace]
    written = {row.resource.split("/")[0] for row in mine}
    assert not written & USERS_OBJECTS
    after = versions(site)
    assert {key: after.get(key) for key in before} == before


def test_one_changed_mailbox_writes_little(site: MailSite, operator: Operator, audit: Audit) -> None:
    mark = audit.mark()
    site.cluster.apply(site.namespace, mailbox("carol@one.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "carol", 60)
    time.sleep(2)
    mine = [row for row in audit.writes(operator.user, mark, IGNORED) if row.namespace == site.namespace]
    touched = {row.name for row in mine if row.resource == "mailboxes/status"}
    assert touched == {"carol"}
    assert len(mine) <= 15, mine
