"""All objects deleted and applied again from the same YAML: the same keys, passwords, authority and mail."""

from kube.cluster import Cluster, wait
from kube.mail_client import message
from kube.mail_site import IMAPS, MailSite
from kube.manifests import alias, decoded, dkim_key, mail_domain, mail_server, mailbox
from kube.operator_process import Operator

OBJECTS = (
    mail_server(),
    mail_domain("one.test"),
    mail_domain("two.test"),
    dkim_key("declared", "two.test", "declared"),
    mailbox("alice@one.test"),
    mailbox("bob@two.test"),
    alias("team@one.test", "bob@two.test"),
)
OURS = ("Alias", "Mailbox", "DkimKey", "MailDomain", "MailServer")


def kept(site: MailSite) -> dict[str, object]:
    """All that must be the same afterwards."""
    lasting = ("password", "key.pem")
    found = [row for row in site.cluster.list("Secret", site.namespace) if set(lasting) & set(row.get("data") or ())]
    secrets = {row["metadata"]["name"]: decoded(row) for row in found}
    values = {name: {key: row[key] for key in lasting if key in row} for name, row in secrets.items()}
    claims = {found["metadata"]["uid"] for found in site.cluster.list("PersistentVolumeClaim", site.namespace)}
    selectors = {
        (key["spec"]["domain"], key["spec"]["selector"]) for key in site.cluster.list("DkimKey", site.namespace)
    }
    return {
        "secrets": {name: row for name, row in values.items() if row},
        "authority": site.authority(),
        "claims": claims,
        "selectors": selectors,
    }


def ready(site: MailSite) -> None:
    for made in OBJECTS:
        site.cluster.wait_ready(made["kind"], site.namespace, made["metadata"]["name"], 150)


def test_everything_comes_back(cluster: Cluster, operator: Operator, namespace: str) -> None:
    site = MailSite(cluster, namespace)
    cluster.apply(namespace, *OBJECTS)
    ready(site)
    client = site.client()
    site.send(client, "alice", message("alice@one.test", "team@one.test", "before"))
    site.wait_subject(client, "bob", "before")
    before = kept(site)
    assert len(before["secrets"]) >= 4  # type: ignore[arg-type]

    for kind in OURS:
        cluster.kubectl("delete", f"{kind.lower()}.postrider.dev", "--all", "-n", namespace, "--timeout=60s")
    wait("the pods are gone", lambda: not cluster.list("Pod", namespace), 150)

    cluster.apply(namespace, *OBJECTS)
    ready(site)
    after = kept(site)
    # A key made for a domain whose declared one was deleted first is retained as well.
    after["secrets"] = {name: row for name, row in after["secrets"].items() if name in before["secrets"]}  # type: ignore[attr-defined,operator]
    assert after == before
    again = site.client()
    assert again.subjects(IMAPS, site.login("bob")) == ["before"]
    site.send(again, "alice", message("alice@one.test", "team@one.test", "after"))
    site.wait_subject(again, "bob", "after")
