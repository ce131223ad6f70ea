"""How long others wait for their 250 while one session changes a million messages: P50, P99 and the worst."""

from __future__ import annotations

import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench import large
from bench.postrider import DOMAIN, Postrider

COUNT = 1_000_000
SENDERS = 4
#: Seconds a sender rests after each mail, and that the quiet phase lasts.
_REST, _QUIET = 0.005, 5.0
_BODY = b"From: a@sender.test\r\nSubject: x\r\n\r\n" + b"text of some length\r\n" * 200 + b".\r\n"

PHASES = (
    ("STORE 1:* +FLAGS (\\Flagged)", ("STORE 1:* +FLAGS.SILENT (\\Flagged)",)),
    ("COPY 1:* to another folder", ("COPY 1:* Other",)),
    ("STORE 1:* +FLAGS (\\Deleted)", ("STORE 1:* +FLAGS.SILENT (\\Deleted)",)),
    ("EXPUNGE of all", ("EXPUNGE",)),
)


class Senders:
    """Sessions that send a mail each few milliseconds, and how long each waited for the last 250."""

    def __init__(self, port: int) -> None:
        self.waited: list[float] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(port, n), daemon=True) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> list[float]:
        """Stop them; returns all times in seconds."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.waited

    def _send(self, port: int, number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
            file = client.makefile("rb")
            file.readline()
            client.sendall(b"EHLO sender.test\r\n")
            while file.readline()[3:4] == b"-":
                pass
            turn = 0
            while not self._stop.is_set():
                user = large.OTHERS[(number * 25 + turn) % len(large.OTHERS)]
                client.sendall(
                    b"MAIL FROM:<a@sender.test>\r\nRCPT TO:<%b@%b>\r\nDATA\r\n" % (user.encode(), DOMAIN.encode())
                )
                answers = [file.readline() for _ in range(3)]
                if not answers[2].startswith(b"354"):
                    raise RuntimeError(str(answers))
                begun = time.perf_counter()
                client.sendall(_BODY)
                answer = file.readline()
                self.waited.append(time.perf_counter() - begun)
                if not answer.startswith(b"250"):
                    raise RuntimeError(str(answer))
                turn += 1
                time.sleep(_REST)


def run(_count: int, _rounds: int) -> None:
    """Print a row for each phase."""
    root = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
    server = Postrider(root, (large.OWNER, *large.OTHERS))
    large.fill(root / "data", COUNT)
    try:
        server.start()
        client = large.Imap(server.place("imaps"), large.OWNER)
        client.ask("CREATE Other")
        client.ask("SELECT INBOX")
        print(
            f"{COUNT} messages in the mailbox; {SENDERS} sessions send to {len(large.OTHERS)} other accounts meanwhile"
        )
        print(f"{'':32} {'took':>8} {'mails':>7} {'P50':>9} {'P99':>9} {'worst':>9}")
        for what, lines in (("nothing else", ()), *PHASES):
            senders, begun = Senders(server.port), time.perf_counter()
            for line in lines:
                client.ask(line)
            if not lines:
                time.sleep(_QUIET)
            print(row(what, time.perf_counter() - begun, senders.end()), flush=True)
        client.close()
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)


def row(what: str, took: float, waited: Sequence[float]) -> str:
    """One line of the table."""
    steps = statistics.quantiles(waited, n=100) if len(waited) > 1 else [0.0] * 99
    figures = "".join(f" {seconds * 1000:6.1f} ms" for seconds in (steps[49], steps[98], max(waited, default=0.0)))
    return f"{what:32} {took:6.1f} s {len(waited):7}{figures}"
