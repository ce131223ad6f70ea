"""One message on its way out: the commands that open its transaction, its bytes, and who got which reply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from postrider.model.address import Address, normal_domain
from postrider.model.envelope import Envelope, Notify, Recipient
from postrider.model.reply import Reply
from postrider.protocols.smtp.body import DotStuffer, Purity


class Outgoing:
    """The state of one transaction of the sending engine."""

    __slots__ = ("_answered", "_binary", "_purity", "_replies", "by_bdat", "ended", "refused", "stuffer")

    def __init__(self, envelope: Envelope, *, by_bdat: bool) -> None:
        self.by_bdat = by_bdat
        self.stuffer = DotStuffer()
        #: The final dot, or BDAT LAST, is on the wire.
        self.ended = False
        #: The reply to the first chunk the server refused.
        self.refused: Reply | None = None
        self._binary = envelope.body == "BINARYMIME"
        self._purity = Purity(1 << 62)  # lines may be as long as they are
        self._replies: list[Reply | None] = [None] * len(envelope.recipients)
        self._answered = 0

    @property
    def wanted(self) -> bool:
        """Some recipient is not refused yet."""
        return None in self._replies

    def check(self, chunk: bytes) -> bool:
        """The next bytes, b"" at the end: may they be sent? Bare CR and LF smuggle, whoever wrote them."""
        clean = self._purity.check(chunk) if chunk else self._purity.finish()
        return clean or self._binary

    def on_rcpt(self, reply: Reply) -> None:
        """The reply to the next RCPT."""
        if reply.code // 100 != 2 and self._replies[self._answered] is None:
            self._replies[self._answered] = negative(reply)
        self._answered += 1

    def refuse_chunk(self, reply: Reply) -> None:
        """The reply to a chunk that was not taken."""
        self.refused = self.refused or negative(reply)

    def refuse(self, reply: Reply) -> None:
        """The whole transaction is refused: whoever has no reply yet gets this one."""
        self._replies = list(self.replies(negative(reply)))

    def replies(self, rest: Reply) -> tuple[Reply, ...]:
        """Each recipient's reply; `rest` for those that were not refused."""
        return tuple(said or rest for said in self._replies)


def negative(reply: Reply) -> Reply:
    """A reply that must not count as success: 2xx and 3xx out of place are a temporary protocol error."""
    return reply if reply.code >= 400 else Reply(450, "4.5.0", f"unexpected reply: {reply}")


def mail_command(envelope: Envelope, capabilities: Mapping[str, str]) -> bytes:
    """MAIL with what the server understands of the envelope's parameters."""
    path = _path(envelope.sender, smtputf8=envelope.smtputf8) if envelope.sender else b"<>"
    words = [b"MAIL FROM:" + path]
    if envelope.size and "SIZE" in capabilities:
        words.append(b"SIZE=%d" % envelope.size)
    # Departs from RFC 6152 §3: without 8BITMIME eight-bit content is sent all the same, undeclared; re-encoding
    # would break signatures, and no server in use damages it.
    if envelope.body == "BINARYMIME" or (envelope.body == "8BITMIME" and "8BITMIME" in capabilities):
        words.append(b"BODY=" + envelope.body.encode())
    if envelope.smtputf8:
        words.append(b"SMTPUTF8")
    if "DSN" in capabilities:
        words += [f"{name}={value}".encode() for name, value in _dsn_of_mail(envelope)]
    return b" ".join(words)


def rcpt_command(envelope: Envelope, recipient: Recipient, capabilities: Mapping[str, str]) -> bytes:
    """RCPT, likewise."""
    words = [b"RCPT TO:" + _path(recipient.address, smtputf8=envelope.smtputf8)]
    if "DSN" in capabilities:
        words += [f"{name}={value}".encode() for name, value in _dsn_of_rcpt(recipient)]
    return b" ".join(words)


def _path(address: Address, *, smtputf8: bool) -> bytes:
    domain = address.domain if smtputf8 else normal_domain(address.domain)
    return f"<{address.local}@{domain}>".encode()


def _dsn_of_mail(envelope: Envelope) -> Iterable[tuple[str, str]]:
    if envelope.ret:
        yield "RET", envelope.ret
    if envelope.envid:
        yield "ENVID", envelope.envid


def _dsn_of_rcpt(recipient: Recipient) -> Iterable[tuple[str, str]]:
    if recipient.notify:
        named = (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)
        yield "NOTIFY", ",".join(str(kind.name) for kind in named if kind in recipient.notify)
    if recipient.orcpt:
        yield "ORCPT", recipient.orcpt
