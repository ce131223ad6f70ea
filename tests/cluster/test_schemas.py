"""What the API server itself refuses, and what it says; columns and explanations as a user sees them."""

import json

import pytest
from kube.cluster import Cluster, RefusedError
from kube.manifests import alias, dkim_key, mail_domain, mail_server, mailbox

BAD = {
    "address without @": (mailbox("alice", "m"), "address"),
    "address with a space": (mailbox("al ice@one.test", "m"), "address"),
    "address with two @": (mailbox("a@b@one.test", "m"), "address"),
    "address with an empty label": (mailbox("alice@one..test", "m"), "address"),
    "catch-all as a Mailbox": (mailbox("*@one.test", "m"), "address"),
    "no address": ({**mailbox("a@one.test", "m"), "spec": {}}, "address"),
    "quota": (mailbox("alice@one.test", "m", quota="much"), "quota"),
    "negative quota": (mailbox("alice@one.test", "m", quota="-1Gi"), "quota"),
    "quota beyond any number": (mailbox("alice@one.test", "m", quota="9999P"), "quota"),
    "warning beyond full": (mailbox("alice@one.test", "m", quotaWarnings=[101]), "quotaWarnings"),
    "undelete window without a unit": (mailbox("alice@one.test", "m", undelete="7"), "undelete"),
    "retention of a minute": (mailbox("alice@one.test", "m", retention={"trash": "1m"}), "trash"),
    "two keys of one id": (
        mail_server(storage={"encryption": {"keys": [{"id": "a", "keySecretRef": {"name": "k"}}] * 2}}),
        "keys",
    ),
    "domain with a space": (mail_domain("d", domain="one test"), "domain"),
    "domain without a dot at its start": (mail_domain("d", domain=".one.test"), "domain"),
    "hostname": (mail_server("not a host"), "hostname"),
    "mail tried again without a pause": (mail_server(queue={"firstRetry": "0s"}), "firstRetry"),
    "no room for any message": (mail_server(limits={"messageSize": 0}), "messageSize"),
    "two replicas of the embedded store": (mail_server(replicas=2), "replicas"),
    "selector": (dkim_key("k", "one.test", "under_score!"), "selector"),
    "algorithm": (dkim_key("k", "one.test", "s1", "DSA"), "algorithm"),
    "alias without targets": (alias("sales@one.test"), "targets"),
    "alias to nowhere": (alias("sales@one.test", "nobody"), "targets"),
    "unknown field": (mailbox("alice@one.test", "m", colour="red"), "colour"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_objects_are_refused_by_name(cluster: Cluster, namespace: str, case: str) -> None:
    bad, field = BAD[case]
    with pytest.raises(RefusedError) as refused:
        cluster.kubectl("apply", "--validate=strict", "-n", namespace, "-f", "-", stdin=json.dumps(bad))
    assert field in str(refused.value)


FIXED = {
    "Mailbox address": (mailbox("a@one.test", "m"), {"spec": {"address": "b@one.test"}}),
    "Alias address": (alias("a@one.test", "b@one.test"), {"spec": {"address": "c@one.test"}}),
    "MailDomain named": (mail_domain("one.test"), {"spec": {"domain": "two.test"}}),
    "MailDomain domain": (mail_domain("d", domain="one.test"), {"spec": {"domain": "two.test"}}),
    "MailDomain domain removed": (mail_domain("d", domain="one.test"), {"spec": {"domain": None}}),
    "MailServer blobs": (mail_server(), {"spec": {"storage": {"blobs": "maildir"}}}),
    "DkimKey selector": (dkim_key("k", "one.test", "s1"), {"spec": {"selector": "s2"}}),
    "DkimKey algorithm": (dkim_key("k", "one.test", "s1"), {"spec": {"algorithm": "RSA"}}),
}


@pytest.mark.parametrize("case", FIXED)
def test_identity_cannot_be_changed(cluster: Cluster, namespace: str, case: str) -> None:
    made, change = FIXED[case]
    cluster.apply(namespace, made)
    name = f"{made['kind']}.postrider.dev/{made['metadata']['name']}"
    with pytest.raises(RefusedError, match="cannot be changed"):
        cluster.kubectl("patch", name.lower(), "-n", namespace, "--type=merge", "-p", json.dumps(change))


def test_a_server_is_scaled_to_nothing_and_never_beyond_one_pod(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, mail_server())
    scale = ("scale", "mailserver", "default", "-n", namespace)
    with pytest.raises(RefusedError, match="the embedded store runs in one pod"):
        cluster.kubectl(*scale, "--replicas=2")
    cluster.kubectl(*scale, "--replicas=0")
    assert cluster.get("MailServer", namespace, "default")["spec"]["replicas"] == 0


def test_a_domain_needs_only_its_name(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, mail_domain("one.test"))
    assert cluster.get("MailDomain", namespace, "one.test").get("spec") in (None, {})


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("maildomain", ["NAME", "READY", "DNS", "MX", "DKIM", "AGE"]),
        ("mailbox", ["NAME", "ADDRESS", "READY", "AGE"]),
        ("alias", ["NAME", "ADDRESS", "TARGETS", "READY", "AGE"]),
        ("dkimkey", ["NAME", "DOMAIN", "SELECTOR", "READY", "AGE"]),
        ("mailserver", ["NAME", "HOSTNAME", "READY", "AGE"]),
    ],
)
def test_columns(cluster: Cluster, namespace: str, kind: str, columns: list[str]) -> None:
    made = (
        mail_domain("one.test"),
        mailbox("a@one.test"),
        alias("b@one.test", "a@one.test"),
        dkim_key("k", "one.test", "s1"),
        mail_server(),
    )
    cluster.apply(namespace, *made)
    head = cluster.kubectl("get", kind, "-n", namespace).splitlines()[0].split()
    assert [column for column in head if column in columns] == columns


def test_everything_is_found_by_category_and_short_name(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, mail_domain("one.test"), mailbox("a@one.test"))
    found = cluster.kubectl("get", "mail", "-n", namespace, "-o", "name").split()
    assert sorted(found) == ["mailbox.postrider.dev/a", "maildomain.postrider.dev/one.test"]
    assert sorted(cluster.kubectl("get", "md,mbx", "-n", namespace, "-o", "name").split()) == sorted(found)
    selected = cluster.kubectl("get", "mbx", "-n", namespace, "--field-selector=spec.address=a@one.test", "-o", "name")
    assert selected.split() == ["mailbox.postrider.dev/a"]


def test_explain_is_documentation(cluster: Cluster) -> None:
    said = cluster.kubectl("explain", "mailbox.spec.passwordSecretRef", "--api-version=postrider.dev/v1alpha1")
    assert "password" in said
    assert "<empty>" not in said
