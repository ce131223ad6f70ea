"""What one connection knows and says: state, what is enabled, tagged answers, faults, capabilities."""

from __future__ import annotations

from dataclasses import dataclass

from postrider.protocols.imap import commands as c
from postrider.protocols.imap.responses import CRLF, Status
from postrider.protocols.sasl import MECHANISMS

#: Wrong commands before and after login beyond which a client is sent away.
MAX_FAULTS_NEW = 10
MAX_FAULTS = 100


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What the engine has to know. `secure` (implicit TLS) and `tls` (STARTTLS is offered) speak of the start."""

    hostname: str
    secure: bool = False
    tls: bool = True
    append_limit: int = 50 * 1024 * 1024
    version: str = ""
    #: Seconds without a byte; RFC 9051 §5.4 wants 30 minutes at least after login.
    login_timeout: float = 60
    timeout: float = 1860


class Conversation:
    """The side of a connection that speaks."""

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.secure = config.secure
        self.state = c.State.NEW
        #: What ENABLE switched on, as it is spelt in ENABLED.
        self.enabled: frozenset[str] = frozenset()
        #: The tag of the command under way.
        self.tag = b"*"
        self.over = False
        self._faults = 0
        self._out: list[bytes] = []

    @property
    def utf8(self) -> bool:
        """True when the client has enabled UTF-8 names (RFC 9051 §5.1, RFC 6855)."""
        return bool(self.enabled & {"IMAP4rev2", "UTF8=ACCEPT"})

    def take_output(self) -> bytes:
        """Octets to send; each is handed out once."""
        output = b"".join(self._out)
        self._out.clear()
        return output

    def untagged(self, *data: bytes) -> None:
        """Send complete untagged responses, or a slice of one; allowed while a command or IDLE is under way."""
        self._out.extend(data)

    def say(self, line: bytes) -> None:
        """Send one line."""
        self._out.append(line + CRLF)

    def tagged(self, status: Status, text: str, code: bytes = b"") -> None:
        """Send the end of a command."""
        shown = b"[%b] " % code if code else b""
        self.say(b"%b %b %b%b" % (self.tag, status.value, shown, text.encode()))

    def fault(self, text: str) -> None:
        """Send BAD, and good-bye when it happens too often."""
        self.tagged(Status.BAD, text[:1].upper() + text[1:])
        self._faults += 1
        if self._faults > (MAX_FAULTS_NEW if self.state is c.State.NEW else MAX_FAULTS):
            self.bye("Too many wrong commands")

    def bye(self, text: str, code: bytes = b"") -> None:
        """Send the client away; nothing follows."""
        if not self.over:
            self.say(b"* BYE %b%b" % (b"[%b] " % code if code else b"", text.encode()))
            self.over = True

    def capabilities(self) -> bytes:
        """What may be used now (RFC 9051 §6.1.1)."""
        if self.state is not c.State.NEW:
            return " ".join((*c.CAPABILITIES_USER, f"APPENDLIMIT={self.config.append_limit}")).encode()
        words = list(c.CAPABILITIES)
        if self.secure:
            words += [f"AUTH={name}" for name in MECHANISMS]
        else:
            words += ["STARTTLS"] * self.config.tls + ["LOGINDISABLED"]
        return " ".join(words).encode()
