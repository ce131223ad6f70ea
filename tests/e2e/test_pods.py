"""The whole product in real pods, met by a host outside the cluster through the LoadBalancer address."""

import smtplib
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from kube.api import Object
from kube.cluster import condition, wait
from kube.mail_client import MailClient, message
from kube.mail_site import MailSite
from kube.manifests import mail_domain, mail_server, mailbox
from kube.node import NODE
from kube.site import Site

SMTP, SUBMISSION, SUBMISSIONS, IMAP, IMAPS = 25, 587, 465, 143, 993
SERVER = "postrider-server"
#: What a pod may write but its volume: a backup beside the mail itself is refused.
BACKUPS = "/tmp/backups"
#: A new mailbox is served within so many seconds: the goal on two quiet cores. A busy machine gets three times as long.
SECONDS = 2.0
PATIENCE = 3 * SECONDS


@pytest.fixture(scope="module")
def mail(site: Site) -> Iterator[MailSite]:
    """A MailServer in a namespace with restricted Pod Security; one domain, two mailboxes."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    with site.cluster.namespace("mail", labels) as namespace:
        server = mail_server(limits={"loginFailures": 1000}, pod={"terminationGrace": "20s"})
        objects = server, mail_domain("one.test"), mailbox("alice@one.test"), mailbox("bob@one.test")
        site.cluster.apply(namespace, *objects)
        try:
            for made in objects:
                site.cluster.wait_ready(made["kind"], namespace, made["metadata"]["name"], 120)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{state(MailSite(site.cluster, namespace))}") from late
        yield MailSite(site.cluster, namespace, connect=site.outside.connect)


@pytest.fixture(scope="module")
def client(mail: MailSite) -> MailClient:
    """A mail program on the host outside, which knows the LoadBalancer's address only."""

    def address() -> str | None:
        for service in mail.cluster.list("Service", mail.namespace):
            for row in service["status"].get("loadBalancer", {}).get("ingress", ()):
                return str(row["ip"])
        return None

    return mail.client(wait("the LoadBalancer has an address", address))


@pytest.mark.parametrize("port", [SUBMISSION, SUBMISSIONS])
@pytest.mark.parametrize("reading", [IMAP, IMAPS])
def test_send_and_read_from_outside(mail: MailSite, client: MailClient, port: int, reading: int) -> None:
    subject = f"through {port} and {reading}"
    mail.send(client, "alice", message("alice@one.test", "bob@one.test", subject), port)
    mail.wait_subject(client, "bob", subject, reading)


def test_mail_from_a_stranger_keeps_its_address(mail: MailSite, client: MailClient, site: Site) -> None:
    subject = "from a stranger"
    with smtp(client) as session:
        session.send_message(message("somebody@elsewhere.test", "bob@one.test", subject))
    mail.wait_subject(client, "bob", subject, IMAPS)
    with client.imap(IMAPS, mail.login("bob")) as imap:
        imap.select("INBOX", readonly=True)
        _, found = imap.search(None, "SUBJECT", f'"{subject}"')
        _, rows = imap.fetch(found[0].split()[-1].decode(), "(BODY.PEEK[HEADER.FIELDS (RECEIVED)])")
    row = rows[0]
    assert isinstance(row, tuple)
    assert site.outside.address in row[1].decode()


def test_relaying_and_unknown_users_are_refused(client: MailClient) -> None:
    with smtp(client) as session:
        session.ehlo()
        session.mail("somebody@elsewhere.test")
        assert session.rcpt("nobody@elsewhere.test")[0] // 100 == 5
        assert session.rcpt("nobody@one.test")[0] == 550


def test_a_new_mailbox_is_served_within_two_seconds(mail: MailSite, client: MailClient) -> None:
    mail.cluster.apply(mail.namespace, mailbox("carol@one.test"))
    applied = time.monotonic()

    def accepted() -> bool:
        with smtp(client) as session:
            session.ehlo()
            session.mail("somebody@elsewhere.test")
            return session.rcpt("carol@one.test")[0] == 250

    wait("carol is served", accepted)
    took = time.monotonic() - applied
    print(f"served {took:.2f} s after the apply (goal {SECONDS:.0f})")
    assert took < PATIENCE
    mail.cluster.wait_ready("Mailbox", mail.namespace, "carol")
    assert client.accepts(IMAPS, mail.login("carol"))


def test_a_deleted_pod_comes_back_with_all_mail(mail: MailSite, client: MailClient) -> None:
    login = mail.login("bob")
    before = client.subjects(IMAPS, login)
    assert before
    (pod,) = server_pods(mail)
    mail.cluster.kubectl("delete", "pod", "-n", mail.namespace, pod["metadata"]["name"], "--wait=false")
    wait("another pod is ready", lambda: other_pod(mail, pod), 150, lambda: state(mail))
    wait("IMAP is back", lambda: quietly(lambda: client.accepts(IMAPS, login)), 60)
    assert client.subjects(IMAPS, login) == before


def test_a_rollout_loses_nothing(mail: MailSite, client: MailClient) -> None:
    """Mail is submitted all the time; what was acknowledged is there afterwards, once."""
    (pod,) = server_pods(mail)
    sender = Sender(mail, client)
    sender.start()
    wait("some mail before", lambda: len(sender.acknowledged) >= 5, 60)
    patch = {"spec": {"pod": {"resources": {"requests": {"cpu": "101m", "memory": "256Mi"}}}}}
    mail.cluster.api.patch(mail.cluster.path("MailServer", mail.namespace, "default"), patch)
    wait("the new pod is ready", lambda: other_pod(mail, pod), 120, lambda: state(mail))
    during = len(sender.acknowledged)
    wait("mail after", lambda: len(sender.acknowledged) >= during + 5, 60)
    sender.stopping.set()
    sender.join(60)
    login = mail.login("bob")

    def missing() -> set[str]:
        return set(sender.acknowledged) - set(client.subjects(IMAPS, login))

    wait("all that was acknowledged", lambda: not missing(), 60, lambda: f"lost: {sorted(missing())}")
    there = client.subjects(IMAPS, login)
    twice = {subject for subject in sender.acknowledged if there.count(subject) > 1}
    assert not twice
    print(f"{len(sender.acknowledged)} acknowledged, {sender.refused} refused in between, none lost")


def test_a_broken_image_says_so_and_is_left_behind(mail: MailSite, client: MailClient) -> None:
    """Kubernetes does not undo a rollout that is stuck on a pod which cannot start; the operator does."""
    path = mail.cluster.path("MailServer", mail.namespace, "default")
    mail.cluster.api.patch(path, {"spec": {"image": "localhost/not-there:1"}})

    def said() -> bool:
        row = mail.cluster.condition("MailServer", mail.namespace, "default")
        return row["status"] == "False" and "ErrImageNeverPull" in row["message"]

    wait("the MailServer says what is wrong", said, 90, lambda: state(mail))
    mail.cluster.api.patch(path, {"spec": {"image": None}})
    wait("it serves again", lambda: quietly(lambda: client.accepts(IMAPS, mail.login("bob"))), 120, lambda: state(mail))
    mail.cluster.wait_ready("MailServer", mail.namespace, "default", 60)


def test_a_drained_node_comes_back_with_all_mail(mail: MailSite, client: MailClient) -> None:
    login = mail.login("bob")
    before = client.subjects(IMAPS, login)
    server = "--pod-selector=app.kubernetes.io/component=server"  # two operators cannot both leave the only node
    drain = ("drain", NODE, server, "--delete-emptydir-data", "--timeout=100s")
    mail.cluster.kubectl(*drain)  # the PodDisruptionBudget of a single pod must not stand in the way
    assert not [pod for pod in server_pods(mail) if pod["spec"].get("nodeName")]
    mail.cluster.kubectl("uncordon", NODE)
    wait("IMAP is back", lambda: quietly(lambda: client.accepts(IMAPS, login)), 120, lambda: state(mail))
    assert client.subjects(IMAPS, login) == before


def test_pods_are_restricted(mail: MailSite, site: Site) -> None:
    """Pod Security let them in; they run as nobody, on a read-only root, with no token."""
    (pod,) = server_pods(mail)
    name = pod["metadata"]["name"]
    assert mail.cluster.kubectl("exec", "-n", mail.namespace, name, "--", "id", "-u").strip() != "0"
    with pytest.raises(Exception, match="Read-only file system"):
        mail.cluster.kubectl("exec", "-n", mail.namespace, name, "--", "touch", "/here")
    mounts = [mount["mountPath"] for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
    assert not any("serviceaccount" in mount for mount in mounts)
    claims = mail.cluster.list("PersistentVolumeClaim", mail.namespace)
    assert [claim["status"]["phase"] for claim in claims] == ["Bound"]


def test_commands_run_beside_the_server(mail: MailSite, client: MailClient) -> None:
    """What one does with a data directory is done in the pod: as nobody, on a read-only root, while it serves."""
    (pod,) = server_pods(mail)

    def command(*words: str) -> str:
        return mail.cluster.kubectl("exec", "-n", mail.namespace, pod["metadata"]["name"], "--", SERVER, *words)

    stored = len(client.subjects(IMAPS, mail.login("bob")))
    (row,) = [line.split() for line in command("usage").splitlines() if f"{mail.namespace}/bob@one.test" in line]
    assert str(stored) in row
    assert "all is well" in command("store", "verify")
    command("backup", BACKUPS)
    assert "all is well" in command("backup", "verify", BACKUPS)


def test_no_pod_restarted_by_itself(mail: MailSite, site: Site) -> None:
    """The last test: nothing crashed on the way."""
    for namespace in (mail.namespace, "postrider-system"):
        for pod in site.cluster.list("Pod", namespace):
            for row in pod["status"]["containerStatuses"]:
                assert row["restartCount"] == 0, (pod["metadata"]["name"], row.get("lastState"))


class Sender(threading.Thread):
    """Submits one mail after the other, each with a subject of its own; remembers which were acknowledged."""

    def __init__(self, mail: MailSite, client: MailClient) -> None:
        super().__init__(daemon=True)
        self.client, self.login = client, mail.login("alice")
        self.acknowledged: list[str] = []
        self.refused = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            subject = f"rolling {number}"
            try:
                self.client.submit(SUBMISSION, self.login, message("alice@one.test", "bob@one.test", subject))
            except (OSError, smtplib.SMTPException):  # the pod is away: no acknowledgement, no promise
                self.refused += 1
                time.sleep(0.2)
                continue
            self.acknowledged.append(subject)


def smtp(client: MailClient) -> smtplib.SMTP:
    """A session of a stranger's mail server."""

    class Session(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: Any) -> Any:
            return client.socket(port)

    return Session(client.server_name, SMTP, "elsewhere.test", 60)


def state(mail: MailSite) -> str:
    """What one would look at: objects, events, statuses, the end of the logs."""
    ask, here = mail.cluster.kubectl, ("-n", mail.namespace)
    labels = ("-l", "app.kubernetes.io/component=server")
    parts = [
        ask("get", "pods,statefulsets,persistentvolumeclaims,services,mailservers", "-o", "wide", *here),
        ask("get", "events", "--sort-by=.lastTimestamp", *here),
        ask("get", "mailservers,statefulsets", "-o", "yaml", *here),
        ask("logs", "--tail=40", *labels, *here),
        ask("logs", "--tail=40", "-n", "postrider-system", "-l", "app.kubernetes.io/component=operator"),
    ]
    return "\n".join(parts)


def server_pods(mail: MailSite) -> list[Object]:
    return mail.cluster.list("Pod", mail.namespace, "app.kubernetes.io/component=server")


def other_pod(mail: MailSite, old: Object) -> Object | None:
    """A ready pod that is not the old one."""
    for pod in server_pods(mail):
        if pod["metadata"]["uid"] != old["metadata"]["uid"] and condition(pod).get("status") == "True":
            return pod
    return None


def quietly(ask: Any) -> bool:
    """The answer, or False while nobody listens."""
    with suppress(OSError):
        return bool(ask())
    return False
