"""Keeps a data directory as the present release writes it, for the tests of every later one.

    python tools/keep_data_directory.py tests/postrider/store/releases/VERSION-schema-N

It fills a store with a little of everything, and leaves two archives (`closed` in good order, `killed` in the middle
of its work) with the one picture that every later release must read from both.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from postrider.ingest.content import content
from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.ports import Store
from postrider.store.values import LANES, Account, Blob, Body, Vanished, account_of

NOON = 1_800_000_000
ALICE, BOB, CAROL, DAVE = (
    account_of(namespace, f"{name}@kept.test")
    for namespace, name in (("mail", "alice"), ("mail", "bob"), ("other", "carol"), ("mail", "dave"))
)
#: Whose mail the picture shows; DAVE's is removed again.
ACCOUNTS = (ALICE, BOB, CAROL)
REMEMBERED = ("vanished:gone@kept.test", "login:198.51.100.7", "binary")
PREFIX = b"Return-Path: <carol@sender.test>\r\nReceived: from sender.test by mx.kept.test\r\n"
ROOM = 1 << 30
PICTURE = "picture.json"
WAYS = ("closed", "killed")


class KeptClock:
    """Always noon of the same day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return float(NOON)

    def monotonic(self) -> float:
        """Any seconds."""
        return float(NOON)


def options() -> Options:
    """Small packs, so that a little mail fills several."""
    return Options(clock=KeptClock(), allow_tmpfs=True, measure_sync=False, wait=0, pack_size=128 * 1024)


async def main(target: Path) -> None:
    """Write both archives and the picture into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        store = open_local(place / "data", options())
        await Filling(store, place).all()
        await asyncio.sleep(0.3)  # what is cleared away beside the commits is cleared away
        shutil.copytree(place / "data", place / "killed")
        await store.close()
        shutil.copytree(place / "data", place / "closed")
        for way in WAYS:
            pack(place / way, target / f"{way}.tar.xz")
        again = open_local(place / "data", options())
        (target / PICTURE).write_text(json.dumps(await picture(again), indent=1, ensure_ascii=False) + "\n")
        await again.close()


class Filling:
    """What lies in a kept store."""

    def __init__(self, store: Store, place: Path) -> None:
        self._commit = store.writer.commit
        self._reader = store.reader
        self._place = place

    async def all(self) -> None:
        """A little of everything, in an order in which it may come."""
        await self._deliveries()
        await self._folders()
        await self._changes()
        await self._queue()
        for key, value in zip(REMEMBERED, (b"", b"3", bytes(range(256))), strict=True):
            await self._commit(t.Remember(key, value, NOON + 86400))
        await self._commit(t.Remember("expired", b"x", NOON - 1))
        await self._commit(t.Release(DAVE))

    async def _deliveries(self) -> None:
        for number in range(24):
            to = [ALICE, BOB, CAROL, DAVE][: 1 + number % 4]
            await self._commit(self._intake(letter(number), tuple(t.Deliver(account, PREFIX) for account in to)))
        odd = (b"", b"x", b"Subject: no end of header", b"\r\n\x00\xff 8 bit\r\n", bytes(range(256)) * 8)
        for data in odd:
            await self._commit(self._intake(data, (t.Deliver(ALICE, PREFIX, flags=1, keywords=("$Junk",)),)))
        large = b"Subject: large\r\n\r\n" + b"".join(b"line %d of many\r\n" % line for line in range(18_000))
        await self._commit(self._intake(large, (t.Deliver(ALICE, b""), t.Deliver(BOB, PREFIX))))
        spooled = t.NewMessage(self._body(large + b"again", spooled=True), NOON - 5, *cached(large + b"again"))
        await self._commit(t.Append(BOB, await self._folder(BOB, "INBOX"), (spooled,), ROOM))
        await self._commit(
            self._intake(b"Subject: too much\r\n\r\n", (t.Deliver(CAROL, b"", quota_bytes=1, recipient="c@kept.test"),))
        )

    async def _folders(self) -> None:
        for name in ("Work/2026/Q1", "Entwürfe/日本語", "Old", "Old/Letters", "Doomed", "Again"):
            await self._commit(t.CreateMailbox(ALICE, name))
        await self._commit(t.CreateMailbox(BOB, "Papers", "\\Archive"))
        await self._commit(t.RenameMailbox(ALICE, await self._folder(ALICE, "Old"), "Archive/Older"))
        for name in ("Doomed", "Again"):
            folder = await self._folder(ALICE, name)
            await self._commit(t.Append(ALICE, folder, tuple(self._new(letter(100 + n)) for n in range(3)), ROOM))
            await self._commit(t.DeleteMailbox(ALICE, folder))
        await self._commit(t.CreateMailbox(ALICE, "Again"))
        await self._commit(t.Subscribe(ALICE, "No/such/folder", subscribed=True))
        await self._commit(t.Subscribe(ALICE, "Archive/Older", subscribed=True))
        await self._commit(t.Subscribe(ALICE, "Again", subscribed=False))
        await self._commit(t.RenameMailbox(CAROL, await self._folder(CAROL, "INBOX"), "Before"))

    async def _changes(self) -> None:
        inbox, quarter, letters = [
            await self._folder(ALICE, name) for name in ("INBOX", "Work/2026/Q1", "Archive/Older/Letters")
        ]
        await self._commit(t.TouchRecent(ALICE, inbox))
        await self._commit(t.Copy(ALICE, inbox, (1, 2, 3, 4), quarter, quota_bytes=ROOM))
        await self._commit(t.Copy(ALICE, inbox, (5, 6, 9), letters, move=True, quota_bytes=ROOM))
        await self._commit(t.SetFlags(ALICE, inbox, (2, 3, 7), t.FlagChange.ADD, 1 | 4, ("$Forwarded", "Ärger")))
        await self._commit(t.SetFlags(ALICE, quarter, (1, 4), t.FlagChange.REPLACE, 2 | 16, ("later",)))
        await self._commit(t.SetFlags(ALICE, inbox, (10, 11, 14), t.FlagChange.ADD, 8))
        await self._commit(t.Expunge(ALICE, inbox, (10, 11)))
        await self._commit(t.SetFlags(ALICE, inbox, (7,), t.FlagChange.REMOVE, 4, ("$Forwarded",)))
        inbox = await self._folder(BOB, "INBOX")
        await self._commit(t.SetFlags(BOB, inbox, tuple(range(1, 9)), t.FlagChange.ADD, 8))
        await self._commit(t.Expunge(BOB, inbox, (1, 2, 3, 6)))
        await self._commit(t.Append(ALICE, quarter, (self._new(letter(200), flags=16, keywords=("draft",)),), ROOM))

    async def _queue(self) -> None:
        for number in range(8):
            recipients = tuple(
                t.Enqueue(f"{name}.peer.test", f"{name}@{name}.peer.test", PREFIX, NOON, 3, "rfc822;x@y.test")
                for name in ("one", "two")[: 1 + number % 2]
            )
            intake = self._intake(letter(300 + number), (), enqueue=recipients, account=ALICE, ret="HDRS", envid="e+3D")
            await self._commit(msgspec.structs.replace(intake, body_type="8BITMIME", smtputf8=number == 3))
        rows = await self._commit(t.Claim(tuple(range(LANES)), NOON, 600, 6))
        ends = ((t.Outcome.DELIVERED, ""), (t.Outcome.BOUNCED, "550 no"), (t.Outcome.REMOVED, ""))
        settled = [
            t.Settlement(row.id, row.epoch, end, 0, reply) for row, (end, reply) in zip(rows, ends, strict=False)
        ]
        settled.append(
            t.Settlement(rows[3].id, rows[3].epoch, t.Outcome.RETRY, NOON + 300, "451 later", delay_told=True)
        )
        await self._commit(t.Settle(tuple(settled)))
        waiting = [row.id for row in await self._reader.queue() if row.state == "ready" and row.due == NOON]
        await self._commit(t.Administer(tuple(waiting[-2:]), t.QueueAdmin.HOLD, NOON))

    async def _folder(self, account: Account, name: str) -> int:
        return next(row.id for row in await self._reader.mailboxes(account) if row.name == name)

    def _intake(self, data: bytes, deliver: tuple[t.Deliver, ...], **fields: Any) -> t.Intake:
        found, keys = cached(data)[0], content(data)[1]
        return t.Intake(self._body(data), "carol@sender.test", NOON - 60, found, keys, deliver, **fields)

    def _new(self, data: bytes, **fields: Any) -> t.NewMessage:
        return t.NewMessage(self._body(data), NOON - 3600, *cached(data), thread_keys=content(data)[1], **fields)

    def _body(self, data: bytes, *, spooled: bool = False) -> Body:
        digest = hashlib.sha256(data).digest()
        if not spooled:
            return Body(digest, len(data), data)
        path = self._place / "spooled"
        path.write_bytes(data)
        return Body(digest, len(data), path=str(path))


def cached(data: bytes) -> tuple[bytes]:
    """What goes with a message from its delivery on."""
    return (content(data)[0],)


def letter(number: int) -> bytes:
    """A small multipart message, an answer to the one before it."""
    return "\r\n".join(
        [
            f"From: Carol <carol@sender.test>\r\nTo: alice@kept.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_{number}?=",
            f"Date: Mon, 02 Nov 2026 10:{number % 60:02}:00 +0000\r\nMessage-ID: <{number}@sender.test>",
            f"References: <{number - number % 3}@sender.test>\r\nMIME-Version: 1.0",
            'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n',
            f"Number {number} of many.\r\n" * (1 + number * 20),
            "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64",
            'Content-Disposition: attachment; filename="a.bin"\r\n',
            base64.b64encode(bytes(range(number % 256))).decode(),
            "--b--\r\n",
        ]
    ).encode()


async def picture(store: Store) -> dict[str, Any]:
    """All that the reader tells, as plain JSON."""
    reader = store.reader
    return {
        "accounts": {account: await _account(store, account) for account in ACCOUNTS},
        "queue": [await _with_body(store, Account(ALICE), row) for row in await reader.queue(limit=1000)],
        "counters": dict(await reader.counters()),
        "remembered": {key: plain(await reader.recall(key, NOON)) for key in (*REMEMBERED, "expired")},
    }


async def _account(store: Store, account: Account) -> dict[str, Any]:
    reader = store.reader
    return {
        "subscriptions": list(await reader.subscriptions(account)),
        "usage": list(await reader.usage(account)),
        "mailboxes": [plain(row) | await _mail(store, account, row.id) for row in await reader.mailboxes(account)],
    }


async def _mail(store: Store, account: Account, mailbox_id: int) -> dict[str, Any]:
    uids = await store.reader.uids(account, mailbox_id)
    rows = await store.reader.messages(account, mailbox_id, uids)
    mail = [await _with_body(store, account, row) for row in rows]
    return {"uids": list(uids), "mail": mail, "changes": plain(await store.reader.changes(account, mailbox_id, 0))}


async def _with_body(store: Store, account: Account, row: Any) -> dict[str, Any]:
    body = await store.reader.body(account, row.blob)
    told: dict[str, Any] = plain(row)
    return told | {"body": hashlib.sha256(body).hexdigest()}


def plain(value: Any) -> Any:
    """A value of the store as JSON has it: structs by the names of their fields, octets as base64 or their hash."""
    if isinstance(value, Blob):  # its id is the store's own affair
        return value.size
    if isinstance(value, Vanished):  # as it was told when the first picture was made
        return {"modseq": value.modseq, "uids": [uid for first, last in value.runs for uid in range(first, last + 1)]}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode() if len(value) < 64 else "sha256:" + hashlib.sha256(value).hexdigest()
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def pack(directory: Path, archive: Path) -> None:
    """The directory as an archive, the same for the same content."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:xz", preset=9) as file:
        for path in sorted(directory.rglob("*")):
            if path.name.endswith("-shm"):  # does not outlive a start of the machine
                continue
            entry = file.gettarinfo(path, str(path.relative_to(directory)))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = NOON, 0, 0, "", ""
            with path.open("rb") if path.is_file() else io.BytesIO() as content_of:
                file.addfile(entry, content_of)
    archive.write_bytes(held.getvalue())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
