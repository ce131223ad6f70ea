"""The engine in transcripts: what it answers itself, and what it hands to the session, however the bytes arrive."""

from __future__ import annotations

from postrider.protocols.imap import events as e
from postrider.protocols.imap.conversation import ServerConfig
from postrider.protocols.imap.responses import Status
from postrider.protocols.imap.server import Server

PROTOCOL = "imap"


class Scene:
    """Lets alice in, stores everything that is not for `nowhere`, and says OK to the rest."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.engine = Server(
            ServerConfig(hostname="mail.test", secure=settings.get("secure") == "1", append_limit=1000)
        )
        self.notes: list[str] = []
        self.body = b""

    def handle(self, event: object) -> None:
        match event:
            case e.Credentials(mechanism, login, password):
                self.notes.append(f"Credentials{mechanism, login, password}")
                self.engine.login(accepted=password == "sec\\ret")
            case e.AppendMessage(mailbox):
                self.notes.append(repr(event))
                if mailbox == "nowhere":
                    self.engine.answer(Status.NO, "no", b"TRYCREATE")
                else:
                    self.engine.accept_literal()
            case e.AppendChunk(data):
                self.body += data
            case e.AppendEnd():
                self.notes.append(f"end {self.body!r}")
                self.body = b""
                self.engine.answer(Status.OK, "done")
            case e.AppendAborted():
                self.notes.append("aborted")
                self.body = b""
            case e.Idle():
                self.notes.append("Idle()")
            case _:
                self.notes.append(repr(event))
                if isinstance(event, e.Select):
                    self.engine.select(selected=True)
                self.engine.answer(Status.OK, "done")

    def failed(self) -> None:
        self.engine.answer(Status.NO, "failed")

    def lost(self) -> None:
        pass


def test_engine(transcript, play) -> None:
    play(transcript, Scene)


async def test_over_a_socket(transcript, play_over_socket) -> None:
    await play_over_socket(transcript, Scene)
