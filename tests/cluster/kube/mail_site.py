"""A MailServer in one namespace as a mail user meets it: its certificate authority, its logins, its address."""

from dataclasses import dataclass
from email.message import EmailMessage

from kube.api import Connect, plain
from kube.cluster import Cluster, condition, wait
from kube.mail_client import MailClient
from kube.manifests import decoded

SUBMISSION, SUBMISSIONS, IMAP, IMAPS = 2587, 2465, 2143, 2993
"""The unprivileged ports of a pod; the Service has the well-known ones."""


@dataclass(frozen=True)
class MailSite:
    """A namespace with one MailServer."""

    cluster: Cluster
    namespace: str
    hostname: str = "mail.one.test"
    server: str = "default"
    connect: Connect = plain

    def login(self, name: str) -> tuple[str, str]:
        """Address and generated password of a Mailbox; waits for its Secret."""
        path = f"{name}-password"
        found = wait(f"Secret {path}", lambda: self.cluster.find("Secret", self.namespace, path), 60)
        values = decoded(found)
        return values["username"], values["password"]

    def authority(self) -> str:
        """The PEM that signs the server's certificate: from its Secret, whichever holds `ca.crt`."""
        for found in self.cluster.list("Secret", self.namespace):
            values = decoded(found) if "ca.crt" in (found.get("data") or {}) else {}
            if values:
                return values["ca.crt"]
        raise LookupError(f"no Secret with ca.crt in {self.namespace}")

    def pod(self) -> dict[str, object] | None:
        """The server's ready pod, if there is one."""
        for found in self.cluster.list("Pod", self.namespace):
            if condition(found).get("status") == "True" and not found["metadata"].get("deletionTimestamp"):
                return found
        return None

    def client(self, address: str = "") -> MailClient:
        """A mail program; speaks to the pod where no address is given."""
        if not address:
            pod = wait("a ready pod", self.pod, 60)
            address = str(pod["status"]["podIP"])  # type: ignore[index]
        return MailClient(address, self.hostname, self.authority(), self.connect)

    def send(self, client: MailClient, sender: str, mail: EmailMessage, port: int = SUBMISSION) -> None:
        """Submits a mail as the Mailbox called `sender`."""
        client.submit(port, self.login(sender), mail)

    def wait_subject(self, client: MailClient, reader: str, subject: str, port: int = IMAPS) -> None:
        """Waits until the Mailbox called `reader` has a mail of that subject in its INBOX."""
        login = self.login(reader)
        wait(f"{subject!r} for {reader}", lambda: subject in client.subjects(port, login), 60)
