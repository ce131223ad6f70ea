"""Wrong and conflicting objects: each says what is wrong with it, and every other change goes on being served."""

from collections.abc import Iterator

import pytest
from kube.api import Object
from kube.cluster import Cluster, condition, wait
from kube.mail_client import message
from kube.mail_site import MailSite
from kube.manifests import alias, dkim_key, mail_domain, mail_server, mailbox
from kube.operator_process import Operator


@pytest.fixture(scope="module")
def site(cluster: Cluster, operator: Operator) -> Iterator[MailSite]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster.namespace("faults", labels) as namespace:
        cluster.apply(namespace, mail_server(), mail_domain("one.test"), mailbox("alice@one.test"))
        cluster.wait_ready("Mailbox", namespace, "alice", 150)
        yield MailSite(cluster, namespace)


def refused(site: MailSite, kind: str, name: str) -> Object:
    """The Ready condition, once it says why not."""

    def row() -> Object | None:
        found = condition(site.cluster.get(kind, site.namespace, name))
        return found if found.get("status") == "False" else None

    found = wait(f"{kind} {name} says what is wrong", row, 60)
    assert found["message"]
    return found


def still_served(site: MailSite, name: str) -> None:
    """A change made after the broken object reaches the server."""
    site.cluster.apply(site.namespace, mailbox(f"{name}@one.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, name, 60)
    client = site.client()
    site.send(client, "alice", message("alice@one.test", f"{name}@one.test", "served"))
    site.wait_subject(client, name, "served")


def test_an_alias_loop_is_named_on_the_alias(site: MailSite) -> None:
    site.cluster.apply(site.namespace, alias("a@one.test", "b@one.test"), alias("b@one.test", "a@one.test"))
    said = [refused(site, "Alias", name) for name in ("a", "b")]
    assert {row["reason"] for row in said} == {"AliasLoop"}
    assert all("a@one.test" in row["message"] and "b@one.test" in row["message"] for row in said)
    still_served(site, "loop")
    site.cluster.apply(site.namespace, alias("b@one.test", "alice@one.test"))
    site.cluster.wait_ready("Alias", site.namespace, "a", 60)


def test_the_first_claim_serves_and_the_second_says_conflict(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("same@one.test", "first"))
    site.cluster.wait_ready("Mailbox", site.namespace, "first", 60)
    site.cluster.apply(site.namespace, mailbox("Same@one.test", "aaa-second"), alias("same@one.test", "alice@one.test"))
    assert refused(site, "Mailbox", "aaa-second")["reason"] == "Conflict"
    assert refused(site, "Alias", "same")["reason"] == "Conflict"
    assert site.cluster.condition("Mailbox", site.namespace, "first")["status"] == "True"
    still_served(site, "conflict")
    site.cluster.delete("Mailbox", site.namespace, "first")
    wait(
        "one of the others has the address",
        lambda: any(
            site.cluster.condition(kind, site.namespace, name).get("status") == "True"
            for kind, name in (("Mailbox", "aaa-second"), ("Alias", "same"))
        ),
        60,
    )


def test_a_missing_password_secret_is_named(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("nopass@one.test", passwordSecretRef={"name": "not-there"}))
    assert "not-there" in refused(site, "Mailbox", "nopass")["message"]
    still_served(site, "nopassword")


def test_a_bad_key_is_named(site: MailSite) -> None:
    key = dkim_key("broken", "one.test", "broken")
    key["spec"]["secretRef"] = {"name": "broken-key", "key": "key.pem"}
    broken = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "broken-key"}, "stringData": {"key.pem": "x"}}
    site.cluster.apply(site.namespace, broken, key)
    assert "broken-key" in refused(site, "DkimKey", "broken")["message"]
    still_served(site, "badkey")


def test_a_mailbox_without_its_domain_waits_for_it(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("zoe@later.test"))
    assert "later.test" in refused(site, "Mailbox", "zoe")["message"]
    site.cluster.apply(site.namespace, mail_domain("later.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "zoe", 60)


def test_a_pod_that_cannot_be_made_is_told_and_the_one_there_is_serves_on(site: MailSite) -> None:
    wrong = mail_server(pod={"resources": {"requests": {"cpu": "lots"}}})
    site.cluster.apply(site.namespace, wrong)
    said = refused(site, "MailServer", "default")
    assert said["reason"] == "ApplyFailed"
    assert "StatefulSet default-mail" in said["message"]
    assert "quantities" in said["message"]
    still_served(site, "nopod")
    site.cluster.apply(site.namespace, mail_server())
    site.cluster.wait_ready("MailServer", site.namespace, "default", 60)


def test_a_volume_that_cannot_grow_is_told_until_it_is_not_wanted_to(site: MailSite) -> None:
    pod = site.pod()
    site.cluster.apply(site.namespace, mail_server(storage={"size": "2Gi"}))
    said = refused(site, "MailServer", "default")
    assert "PersistentVolumeClaim data-default-mail-0" in said["message"]
    assert "only dynamically provisioned pvc can be resized" in said["message"]
    still_served(site, "nogrowth")
    site.cluster.apply(site.namespace, mail_server())
    site.cluster.wait_ready("MailServer", site.namespace, "default", 60)
    assert site.pod()["metadata"]["uid"] == pod["metadata"]["uid"]


def test_objects_in_the_worst_order_end_ready(cluster: Cluster, operator: Operator, namespace: str) -> None:
    objects = [
        alias("info@two.test", "nina@two.test"),
        dkim_key("k", "two.test", "s1"),
        mailbox("nina@two.test"),
        mail_domain("two.test"),
        mail_server("mail.two.test"),
    ]
    for made in objects:
        cluster.apply(namespace, made)
    for made in objects:
        cluster.wait_ready(made["kind"], namespace, made["metadata"]["name"], 60)
