"""What the README says: apply the quickstart, wait, look, send and read a signed mail."""

from pathlib import Path

import dkim
from kube.cluster import Cluster
from kube.mail_client import message
from kube.mail_site import IMAPS, MailSite
from kube.operator_process import Operator

QUICKSTART = Path(__file__).parents[2] / "examples/quickstart"


def test_the_quickstart(cluster: Cluster, operator: Operator, namespace: str) -> None:
    here = ("-n", namespace)
    cluster.kubectl("apply", *here, "-f", str(QUICKSTART))
    cluster.kubectl("wait", *here, "--for=condition=Ready", "--timeout=150s", "mailbox/alice", "mailserver/default")
    everything = "maildomain,mailbox,alias,dkimkey,mailserver"
    cluster.kubectl("wait", *here, "--for=condition=Ready", "--timeout=60s", everything, "--all")

    rows = table(cluster, namespace, "maildomain")
    assert {name: row["READY"] for name, row in rows.items()} == {"example.org": "True", "example.net": "True"}
    assert all(row[column] != "True" for row in rows.values() for column in ("DNS", "MX", "DKIM"))
    assert table(cluster, namespace, "mailbox")["alice"]["ADDRESS"] == "alice@example.org"
    assert table(cluster, namespace, "mailserver")["default"]["HOSTNAME"] == "mail.example.org"
    assert len(table(cluster, namespace, "dkimkey")) == 4

    site = MailSite(cluster, namespace, "mail.example.org")
    client = site.client()
    site.send(client, "bob", message("bob@example.net", "sales@example.org", "to sales"))
    for reader in ("alice", "bob"):
        site.wait_subject(client, reader, "to sales")
    carol = "carol@example.org", "change me before anybody else does"
    client.submit(2465, carol, message("carol@example.org", "alice@example.org", "from carol"))
    site.wait_subject(client, "alice", "from carol")
    assert verified(site, b"from carol")


def table(cluster: Cluster, namespace: str, kind: str) -> dict[str, dict[str, str]]:
    """What `kubectl get` shows, by name; columns whose values hold no spaces come before any that do."""
    head, *rows = (line.split() for line in cluster.kubectl("get", kind, "-n", namespace).splitlines())
    return {row[0]: dict(zip(head, row, strict=False)) for row in rows}


def verified(site: MailSite, subject: bytes) -> bool:
    """Whether alice's mail of that subject verifies by the records that the MailDomains say are to be published."""
    published = {
        record["name"]: record["value"].encode()
        for found in site.cluster.list("MailDomain", site.namespace)
        for record in found["status"]["dnsRecords"]
        if record["type"] == "TXT"
    }
    with site.client().imap(IMAPS, site.login("alice")) as imap:
        imap.select("INBOX", readonly=True)
        _, rows = imap.fetch("1:*", "(BODY.PEEK[])")
    mails = [row[1] for row in rows if isinstance(row, tuple)]
    mail = next(mail for mail in mails if b"Subject: " + subject in mail)
    assert mail.count(b"DKIM-Signature:") == 2
    return all(
        dkim.DKIM(mail).verify(number, dnsfunc=lambda name, timeout=5: published[name.decode().rstrip(".")])
        for number in range(2)
    )
