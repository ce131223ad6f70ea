"""One mail transaction of the receiving engine: envelope and bytes, from MAIL to the end of the message."""

from __future__ import annotations

import enum

from msgspec.structs import replace

from postrider.model.envelope import Envelope, Peer, Recipient
from postrider.model.reply import Reply
from postrider.protocols.buffer import Buffer
from postrider.protocols.engine import NEED_DATA
from postrider.protocols.smtp.body import DotBody
from postrider.protocols.smtp.commands import State
from postrider.protocols.smtp.events import Body, Discarded
from postrider.protocols.smtp.grammar import Chunk, Mail
from postrider.protocols.smtp.incoming import TOO_BIG, Incoming


class Ended(enum.Enum):
    """What read() came to the end of."""

    CHUNK = "chunk"
    MESSAGE = "message"


class Transaction:
    """Begins with MAIL; ends with the message, with RSET, or when something in it was refused."""

    __slots__ = ("_chunk", "_dots", "_last", "incoming", "mail", "recipients", "refused")

    def __init__(self, mail: Mail | None, max_size: int) -> None:
        #: None where BDAT came without MAIL: its octets have to go somewhere.
        self.mail = mail
        self.recipients: list[Recipient] = []
        #: Some RCPT was refused.
        self.refused = False
        self.incoming = Incoming(max_size, binary=mail is not None and mail.body == "BINARYMIME")
        self._dots: DotBody | None = None
        self._chunk = -1  # octets of the BDAT chunk still to come
        self._last = False

    @property
    def state(self) -> State:
        """Where the transaction stands."""
        if self._chunk >= 0:
            return State.BDAT
        return State.RCPT if self.recipients else State.MAIL

    @property
    def begun(self) -> bool:
        """Bytes of the message may have been handed out."""
        return self._dots is not None or self._chunk >= 0

    @property
    def void(self) -> Reply | None:
        """What will be said at the end of a message that cannot be accepted."""
        return self.incoming.void

    def start_data(self) -> None:
        """DATA: what follows ends with CRLF.CRLF."""
        self._dots = DotBody()

    def start_chunk(self, chunk: Chunk) -> Discarded | None:
        """BDAT: the next octets are the message's. Its size is settled before they are read."""
        self._chunk, self._last = chunk.size, chunk.last
        if self.void is None and not self.incoming.fits(chunk.size):
            return self.incoming.refuse(TOO_BIG)
        return None

    def read(self, buffer: Buffer) -> Body | Discarded | Ended | object | None:
        """Take message bytes from the buffer; None asks to be called again, NEED_DATA for more input."""
        if self._dots is not None:
            return self._read_dotted(self._dots, buffer)
        if self._chunk:
            data = buffer.take(self._chunk)
            if not data:
                return NEED_DATA
            self._chunk -= len(data)
            return self.incoming.take(data)
        return self._end() if self._last else Ended.CHUNK

    def envelope(self, peer: Peer) -> Envelope:
        """The envelope of a complete message."""
        mail = self.mail
        if mail is None:
            raise RuntimeError("a message without MAIL")
        if mail.smtputf8:  # RFC 6531 §4.3: UTF8SMTP, UTF8SMTPS ...
            peer = replace(peer, protocol="UTF8" + peer.protocol.removeprefix("E"))
        recipients = tuple(self.recipients)
        return Envelope(mail.sender, recipients, mail.size, mail.body, mail.smtputf8, mail.ret, mail.envid, peer)

    def _read_dotted(self, dots: DotBody, buffer: Buffer) -> object:
        if not dots.done:
            data = dots.read(buffer)
            if data:
                return self.incoming.take(data)
        return self._end() if dots.done else NEED_DATA

    def _end(self) -> Discarded | Ended:
        return self.incoming.finish() or Ended.MESSAGE
