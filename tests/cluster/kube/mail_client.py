"""A mail program somewhere: submits over TLS and reads over IMAP, trusting one authority only."""

import imaplib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from kube.api import Connect, plain

IMPLICIT = {465, 2465, 993, 2993}
TIMEOUT = 60.0


@dataclass(frozen=True)
class MailClient:
    """Connects to an address, and expects the server's name in its certificate."""

    address: str
    server_name: str
    authority: str
    connect: Connect = plain

    @property
    def tls(self) -> ssl.SSLContext:
        """Verifies the server against the authority (PEM) and the name."""
        return ssl.create_default_context(cadata=self.authority)

    def socket(self, port: int) -> socket.socket:
        """A connection, in TLS already on the ports where TLS comes first."""
        raw = self.connect(self.address, port, TIMEOUT)
        return self.tls.wrap_socket(raw, server_hostname=self.server_name) if port in IMPLICIT else raw

    def submit(self, port: int, login: tuple[str, str], mail: EmailMessage) -> None:
        """Sends a mail as `login` (address, password); smtplib's exceptions say what was refused."""
        client = self

        class Smtp(smtplib.SMTP):
            def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
                return client.socket(port)

        with Smtp(self.server_name, port, "client.example.test", TIMEOUT) as smtp:
            if port not in IMPLICIT:
                smtp.starttls(context=self.tls)
            smtp.login(*login)
            smtp.send_message(mail)

    @contextmanager
    def imap(self, port: int, login: tuple[str, str]) -> Iterator[imaplib.IMAP4]:
        """A session of `login`; `imaplib.IMAP4.error` when it is refused."""
        client = self

        class Imap(imaplib.IMAP4):
            def _create_socket(self, timeout: Any = None) -> socket.socket:
                return client.socket(self.port)

        with Imap(self.server_name, port) as imap:
            if port not in IMPLICIT:
                imap.starttls(self.tls)
            imap.login(*login)
            yield imap

    def subjects(self, port: int, login: tuple[str, str], folder: str = "INBOX") -> list[str]:
        """The subjects of all messages in a folder, in order."""
        with self.imap(port, login) as imap:
            _, (count, *_) = imap.select(folder, readonly=True)
            if count == b"0":
                return []
            _, rows = imap.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
            texts = [row[1].decode() for row in rows if isinstance(row, tuple)]
            return [text.split(":", 1)[1].strip() for text in texts]

    def accepts(self, port: int, login: tuple[str, str]) -> bool:
        """Whether IMAP lets the login in; anything but a refusal is raised."""
        try:
            with self.imap(port, login):
                return True
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error:
            return False


def message(sender: str, recipient: str, subject: str, text: str = "Hello.\n") -> EmailMessage:
    """A small mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, subject
    mail["Message-ID"] = f"<{subject.replace(' ', '.')}@client.example.test>"
    mail.set_content(text)
    return mail
