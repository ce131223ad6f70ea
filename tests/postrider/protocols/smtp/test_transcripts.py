"""The receiving engine in transcripts: what is said to whom, however the bytes arrive."""

from __future__ import annotations

from typing import Any

from msgspec.structs import fields

from postrider.model.envelope import Peer
from postrider.model.reply import LOCAL_ERROR, Reply
from postrider.protocols.smtp import events as e
from postrider.protocols.smtp.server import Server, ServerConfig

PROTOCOL = "smtp"


class Scene:
    """Takes everything but what the settings name; notes messages with what became of them."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        types = {field.name: field.type for field in fields(ServerConfig)}
        options: dict[str, Any] = {
            name: value if types[name] is str else int(value) for name, value in settings.items() if name in types
        }
        self.engine = Server(ServerConfig(**{"hostname": "mx.test", **options}), Peer("192.0.2.1", 4711))
        self.notes: list[str] = []
        self.body = b""

    def handle(self, event: object) -> None:
        match event:
            case e.Connected():
                self.engine.answer(self._decided("greeting", Reply(220, "", "mx.test ESMTP Postrider")))
            case e.AuthAttempt(mechanism, login, password):
                good = (login, password) == ("user@ours.test", "secret")
                self.notes.append(f"{mechanism} {login} {password}")
                reply = Reply(235, "2.7.0", "Welcome") if good else Reply(535, "5.7.8", "Wrong login or password")
                self.engine.answer_auth(reply, account="default/user@ours.test" if good else "")
            case e.MailFrom(sender):
                self.engine.answer(self._decided("sender", Reply(250, "2.1.0", f"Sender {sender} ok")))
            case e.RcptTo(recipient) if recipient.address.local.startswith("nobody"):
                self.engine.answer(Reply(550, "5.1.1", "No such user"))
            case e.RcptTo(recipient):
                self.engine.answer(Reply(250, "2.1.5", f"Recipient {recipient.address} ok"))
            case e.Body(data):
                self.body += data
            case e.Discarded():
                self.body = b""
                self.notes.append("discarded")
            case e.EndOfMessage(envelope):
                self.notes += self._told(envelope)
                self.body = b""
                self.engine.answer(self._decided("message", Reply(250, "2.0.0", "Queued")))
            case e.Hello():
                self.engine.answer(Reply(250, "", "hello"))
            case _:
                raise AssertionError(event)

    def _told(self, envelope: Any) -> list[str]:
        to = " ".join(
            f"<{r.address}>{f' {r.notify!s}' * bool(r.notify)}{f' {r.orcpt}'.rstrip()}" for r in envelope.recipients
        )
        extra = [envelope.body, envelope.ret, envelope.envid, "SMTPUTF8" * envelope.smtputf8]
        with_ = f"{envelope.peer.protocol} helo={envelope.peer.helo}"
        return [
            f"from <{envelope.sender or ''}> to {to} {' '.join(filter(None, extra))}",
            f"with {with_} size={envelope.size}",
            f"body {self.body!r}" if len(self.body) < 200 else f"body of {len(self.body)} octets",
        ]

    def _decided(self, what: str, otherwise: Reply) -> Reply:
        if what not in self.settings:
            return otherwise
        code, enhanced, text = self.settings[what].split(" ", 2)
        return Reply(int(code), enhanced, text)

    def failed(self) -> None:
        self.engine.answer(LOCAL_ERROR)

    def lost(self) -> None:
        pass


def test_engine(transcript, play) -> None:
    play(transcript, Scene)


async def test_over_a_socket(transcript, play_over_socket) -> None:
    await play_over_socket(transcript, Scene)
