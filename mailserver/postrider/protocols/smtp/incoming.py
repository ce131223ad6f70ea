"""One message on its way in: its bytes counted, looked at and passed on, or swallowed when it is void."""

from __future__ import annotations

from postrider.model.reply import Reply
from postrider.protocols.smtp.body import Purity
from postrider.protocols.smtp.events import Body, Discarded

#: Octets of a line beyond which a message is no mail. RFC 5321 §4.5.3.1.6 asks for 1000 at least; lines of any length
#: are real (HTML in one line), cost us nothing and are taken as they are by the large receivers.
MAX_LINE = 1 << 20
#: Octets a void message may go on for before the connection is closed.
_PATIENCE = 1 << 20

TOO_BIG = Reply(552, "5.3.4", "Message is too big")


class Incoming:
    """Takes the message's bytes as they come off the wire."""

    __slots__ = ("_binary", "_max_size", "_purity", "size", "void")

    def __init__(self, max_size: int, *, binary: bool) -> None:
        self._max_size = max_size
        self._purity = Purity(MAX_LINE)
        self._binary = binary
        #: Octets so far.
        self.size = 0
        #: What will be said at the end when the message cannot be accepted.
        self.void: Reply | None = None

    @property
    def endless(self) -> bool:
        """More is coming than is worth taking off the wire only to refuse it."""
        return self.size > 2 * self._max_size + _PATIENCE

    def fits(self, size: int) -> bool:
        """Would so many more octets be within the limit?"""
        return self.size + size <= self._max_size

    def take(self, data: bytes) -> Body | Discarded | None:
        """The next bytes; None when they go nowhere."""
        before = self.size
        self.size += len(data)
        if self.void is not None:
            return None
        if self.size > self._max_size:
            # What is wrong within the limit comes first, wherever the pieces are cut.
            data = data[: self._max_size - before]
            return self.refuse(TOO_BIG if self._is_pure(data) else self._impure())
        return Body(data) if self._is_pure(data) else self.refuse(self._impure())

    def finish(self) -> Discarded | None:
        """The message ends here; `void` says whether it is good."""
        if self.void is None and not self._binary and not self._purity.finish():
            return self.refuse(self._impure())
        return None

    def refuse(self, reply: Reply) -> Discarded:
        """From here on the message is void."""
        self.void = reply
        return Discarded()

    def _is_pure(self, data: bytes) -> bool:
        return self._binary or not data or self._purity.check(data)

    def _impure(self) -> Reply:
        # Bare CR and LF are how messages are smuggled past others; nothing is repaired, all of it is refused.
        return Reply(550, "5.6.0", f"Message refused: it contains {self._purity.problem}")
