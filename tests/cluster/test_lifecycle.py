"""Create, change and delete of every kind, on a real API server, with a real mail server behind it."""

import smtplib
from collections.abc import Iterator

import pytest
from kube.cluster import Cluster, condition, wait
from kube.mail_client import message
from kube.mail_site import IMAPS, SUBMISSION, SUBMISSIONS, MailSite
from kube.manifests import alias, decoded, dkim_key, mail_domain, mail_server, mailbox, secret
from kube.operator_process import Operator


@pytest.fixture(scope="module")
def site(cluster: Cluster, operator: Operator) -> Iterator[MailSite]:
    """A server with one domain and two mailboxes."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with cluster.namespace("lifecycle", labels) as namespace:
        server = mail_server(limits={"loginFailures": 1000})  # these tests ask again and again
        objects = server, mail_domain("one.test"), mailbox("alice@one.test"), mailbox("bob@one.test")
        cluster.apply(namespace, *objects)
        for made in objects:
            cluster.wait_ready(made["kind"], namespace, made["metadata"]["name"], 150)
        yield MailSite(cluster, namespace)


def test_ready_means_that_mail_is_accepted(site: MailSite) -> None:
    client = site.client()
    for number, port in enumerate((SUBMISSION, SUBMISSIONS)):
        site.send(client, "alice", message("alice@one.test", "bob@one.test", f"first {number}"), port)
        site.wait_subject(client, "bob", f"first {number}")


def test_a_new_mailbox_is_ready_and_served(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("carol@one.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "carol", 60)
    client = site.client()
    site.send(client, "alice", message("alice@one.test", "carol@one.test", "to the new one"))
    site.wait_subject(client, "carol", "to the new one")


def test_a_deleted_mailbox_cannot_log_in(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("dave@one.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "dave", 60)
    login, client = site.login("dave"), site.client()
    assert client.accepts(IMAPS, login)
    site.cluster.delete("Mailbox", site.namespace, "dave")
    wait("dave is locked out", lambda: not client.accepts(IMAPS, login), 60)
    kept = site.cluster.get("Secret", site.namespace, "dave-password")
    assert decoded(kept)["password"] == login[1]  # deletionPolicy is Retain


def test_an_alias_delivers_changes_and_goes(site: MailSite) -> None:
    site.cluster.apply(site.namespace, alias("team@one.test", "bob@one.test"))
    site.cluster.wait_ready("Alias", site.namespace, "team", 60)
    client = site.client()
    site.send(client, "alice", message("alice@one.test", "team@one.test", "for bob"))
    site.wait_subject(client, "bob", "for bob")
    site.cluster.apply(site.namespace, alias("team@one.test", "alice@one.test"))
    site.cluster.wait_ready("Alias", site.namespace, "team", 60)
    site.send(client, "bob", message("bob@one.test", "team@one.test", "for alice"))
    site.wait_subject(client, "alice", "for alice")
    site.cluster.delete("Alias", site.namespace, "team")

    def gone() -> bool:
        try:
            site.send(client, "alice", message("alice@one.test", "team@one.test", "to nobody"))
        except OSError as refused:
            return "one.test" in str(refused) or "55" in str(refused) or "45" in str(refused)
        return False

    wait("the alias is gone", gone, 60)


def test_a_domain_gets_keys_and_says_what_to_publish(site: MailSite) -> None:
    found = site.cluster.get("MailDomain", site.namespace, "one.test")
    names = {(record["type"], record["name"]) for record in found["status"]["dnsRecords"]}
    assert ("MX", "one.test") in names
    keys = [key for key in site.cluster.list("DkimKey", site.namespace) if key["spec"]["domain"] == "one.test"]
    assert keys
    for key in keys:
        site.cluster.wait_ready("DkimKey", site.namespace, key["metadata"]["name"], 60)
        assert ("TXT", f"{key['spec']['selector']}._domainkey.one.test") in names
        assert key["status"]["dnsRecord"]["value"].startswith("v=DKIM1")
    assert condition(found, "DNSReady")["status"] != "True"  # nothing is published anywhere in a test


def test_a_declared_key_signs(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mail_domain("keys.test"), dkim_key("mine", "keys.test", "mine"))
    site.cluster.apply(site.namespace, mailbox("eve@keys.test"))
    for kind, name in (("MailDomain", "keys.test"), ("DkimKey", "mine"), ("Mailbox", "eve")):
        site.cluster.wait_ready(kind, site.namespace, name, 60)
    client = site.client()
    site.send(client, "eve", message("eve@keys.test", "alice@one.test", "signed"))
    site.wait_subject(client, "alice", "signed")
    with client.imap(IMAPS, site.login("alice")) as imap:
        imap.select("INBOX", readonly=True)
        _, found = imap.search(None, "SUBJECT", "signed")
        _, rows = imap.fetch(found[0].split()[-1].decode(), "(BODY.PEEK[HEADER])")
    assert b"s=mine" in rows[0][1].replace(b"\r\n\t", b" ")

    def keys() -> set[str]:
        found = site.cluster.list("DkimKey", site.namespace)
        return {row["metadata"]["name"] for row in found if row["spec"]["domain"] == "keys.test"}

    wait("those the domain had been given are gone", lambda: keys() == {"mine"}, 60)
    site.cluster.delete("DkimKey", site.namespace, "mine")
    wait("the key is gone", lambda: site.cluster.find("DkimKey", site.namespace, "mine") is None)


def test_the_pod_template_does_not_change(site: MailSite) -> None:
    def template() -> object:
        (found,) = site.cluster.list("StatefulSet", site.namespace)
        return found["spec"]["template"], found["metadata"]["generation"]

    before, pod = template(), site.pod()
    site.cluster.apply(site.namespace, mail_domain("more.test"), mailbox("frank@more.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "frank", 60)
    assert template() == before
    after = site.pod()
    assert after is not None
    assert pod is not None
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]  # type: ignore[index]


@pytest.mark.parametrize(
    "kind", ["ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy", "Secret", "StatefulSet"]
)
def test_a_deleted_child_returns(site: MailSite, kind: str) -> None:
    labelled = site.cluster.list(kind, site.namespace, "app.kubernetes.io/component=server")
    ours = [found["metadata"] for found in labelled if found["metadata"]["name"].startswith("default-")]
    ours = [meta for meta in ours if meta["name"] != "default-ca"]  # a new authority would be another story
    assert ours, f"the server has no {kind} of its own"
    before = {meta["name"]: meta["uid"] for meta in ours}
    for name in before:
        site.cluster.delete(kind, site.namespace, name)

    def back() -> bool:
        found = {name: site.cluster.find(kind, site.namespace, name) for name in before}
        return all(child and child["metadata"]["uid"] != before[name] for name, child in found.items())

    wait(f"every {kind} is back", back, 60)
    site.cluster.wait_ready("MailServer", site.namespace, "default", 60)
    client = site.client()
    site.send(client, "alice", message("alice@one.test", "bob@one.test", f"after {kind}"))
    site.wait_subject(client, "bob", f"after {kind}")


def test_a_changed_password_secret_is_a_changed_login(site: MailSite) -> None:
    site.cluster.apply(site.namespace, secret("grace-login", password="the first password"))
    reference = {"name": "grace-login", "key": "password"}
    site.cluster.apply(site.namespace, mailbox("grace@one.test", passwordSecretRef=reference))
    site.cluster.wait_ready("Mailbox", site.namespace, "grace", 60)
    client, old, new = site.client(), ("grace@one.test", "the first password"), ("grace@one.test", "the second one")
    assert client.accepts(IMAPS, old)
    site.cluster.apply(site.namespace, secret("grace-login", password="the second one"))
    wait("the new password works", lambda: client.accepts(IMAPS, new))
    wait("the old one does not", lambda: not client.accepts(IMAPS, old))  # another front may be a moment behind


def test_a_changed_limit_is_served_by_the_same_pod(site: MailSite) -> None:
    pod, client = site.pod(), site.client()
    path = site.cluster.path("MailServer", site.namespace, "default")
    site.cluster.api.patch(path, {"spec": {"limits": {"messageSize": "1Mi"}}})

    def size() -> bool:
        with smtplib.SMTP(client.address, 2525, timeout=60) as smtp:
            smtp.ehlo()
            return smtp.esmtp_features.get("size") == str(2**20)

    wait("the new limit is told", size, 60)
    after = site.pod()
    assert pod is not None
    assert after is not None
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]  # type: ignore[index]


def test_deletion_policy_delete_takes_the_password_along(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mailbox("gone@one.test", deletionPolicy="Delete"))
    site.cluster.wait_ready("Mailbox", site.namespace, "gone", 60)
    assert site.cluster.find("Secret", site.namespace, "gone-password")
    site.cluster.delete("Mailbox", site.namespace, "gone")
    wait("the Mailbox is gone", lambda: site.cluster.find("Mailbox", site.namespace, "gone") is None, 60)
    wait("its Secret is gone", lambda: site.cluster.find("Secret", site.namespace, "gone-password") is None, 60)


def test_a_mailbox_made_to_be_deleted_keeps_its_password_once_it_says_retain(site: MailSite) -> None:
    def owners() -> list[object]:
        secret = site.cluster.find("Secret", site.namespace, "wavering-password") or {}
        return secret.get("metadata", {}).get("ownerReferences", []) if secret else [None]

    site.cluster.apply(site.namespace, mailbox("wavering@one.test", deletionPolicy="Delete"))
    wait("it goes with the Mailbox", lambda: owners() not in ([], [None]), 60)
    site.cluster.apply(site.namespace, mailbox("wavering@one.test", deletionPolicy="Retain"))
    wait("it no longer does", lambda: owners() == [], 60)


def test_a_deleted_domain_takes_no_mail_and_keeps_its_keys(site: MailSite) -> None:
    site.cluster.apply(site.namespace, mail_domain("brief.test"), mailbox("hal@brief.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "hal", 60)
    keys = [found["spec"] for found in site.cluster.list("DkimKey", site.namespace)]
    assert [key for key in keys if key["domain"] == "brief.test"]
    before = pems(site, "brief.test")
    client = site.client()
    site.cluster.delete("MailDomain", site.namespace, "brief.test")

    def refused() -> bool:
        with smtplib.SMTP(client.address, 2525, timeout=60) as smtp:
            smtp.ehlo()
            smtp.mail("somebody@elsewhere.test")
            return smtp.rcpt("hal@brief.test")[0] != 250

    wait("no mail is taken", refused, 60)
    said = wait("hal says why", lambda: _not_ready(site.cluster.condition("Mailbox", site.namespace, "hal")), 60)
    assert "brief.test" in said["message"]
    assert pems(site, "brief.test") == before
    site.cluster.apply(site.namespace, mail_domain("brief.test"))
    site.cluster.wait_ready("Mailbox", site.namespace, "hal", 60)
    assert pems(site, "brief.test") == before


def pems(site: MailSite, domain: str) -> dict[str, str]:
    """The private keys of a domain, by the Secret's name."""
    found = site.cluster.list("Secret", site.namespace)
    keys = {secret["metadata"]["name"]: decoded(secret)["key.pem"] for secret in found if "key.pem" in secret["data"]}
    return {name: pem for name, pem in keys.items() if name.startswith(domain)}


def test_deleting_everything_but_the_volume(site: MailSite) -> None:
    """The last test of this site: a deleted MailServer leaves its volume, its keys and its CA."""
    site.cluster.delete("MailServer", site.namespace, "default")
    wait("the pods are gone", lambda: not site.cluster.list("Pod", site.namespace), 150)
    wait("the StatefulSet is gone", lambda: not site.cluster.list("StatefulSet", site.namespace), 60)
    assert site.cluster.list("PersistentVolumeClaim", site.namespace)
    for kind, name in (("MailDomain", "one.test"), ("Mailbox", "alice")):
        found = wait(
            f"{kind} says why", lambda k=kind, n=name: _not_ready(site.cluster.condition(k, site.namespace, n)), 60
        )
        assert found["message"]


def _not_ready(row: dict[str, str]) -> dict[str, str] | None:
    return row if row.get("status") != "True" else None
