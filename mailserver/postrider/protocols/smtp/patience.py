"""What the receiving engine says, and how many mistakes and trifles it bears before it takes its leave."""

from __future__ import annotations

from postrider.model.reply import Reply
from postrider.protocols.smtp.offer import ServerConfig
from postrider.protocols.smtp.wording import TOO_MANY_ERRORS, encode


class Patience:
    """Collects output; counts what the client does without sending mail."""

    __slots__ = ("_faults", "_max_faults", "_max_trifles", "_output", "_trifles", "over")

    def __init__(self, config: ServerConfig) -> None:
        self._max_faults = config.max_faults
        self._max_trifles = config.max_trifles
        self._faults = self._trifles = 0
        self._output: list[bytes] = []
        #: Everything has been said.
        self.over = False

    def take_output(self) -> bytes:
        """What is to be sent."""
        output = self._output
        if not output:
            return b""
        self._output = []
        return output[0] if len(output) == 1 else b"".join(output)

    def say(self, reply: Reply) -> None:
        """Say it."""
        self._output.append(encode(reply))

    def say_raw(self, wire: bytes) -> None:
        """Say what has its form on the wire already."""
        self._output.append(wire)

    def fault(self, reply: Reply) -> None:
        """The client did something wrong; too much of that and it has to go."""
        self._faults += 1
        self._bear(reply, self._faults < self._max_faults)

    def trifle(self, reply: Reply) -> None:
        """Nothing wrong, and no mail either."""
        self._bear(reply, self.count_trifle())

    def count_trifle(self) -> bool:
        """As trifle(), for what is answered in other words; false when it is one too many."""
        self._trifles += 1
        return self._trifles < self._max_trifles

    def forgive(self) -> None:
        """A message was taken: all is well."""
        self._faults = self._trifles = 0

    def leave(self, reply: Reply) -> None:
        """Say a last word."""
        if not self.over:
            self.say(reply)
            self.over = True

    def _bear(self, reply: Reply, patient: bool) -> None:
        if patient:
            self.say(reply)
        else:
            self.leave(TOO_MANY_ERRORS)
