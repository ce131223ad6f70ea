"""The search index: messages indexed a second, its size, and the first fifty hits in a mailbox of any size.

A hundred other accounts lie in the same store. Few messages come in through the store, the rest are copies of their
rows: a body is shared, UID and (where it lies in the clear) header are each message's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from postrider.ingest.content import content
from postrider.mailbox import query
from postrider.mailbox.candidates import Scope
from postrider.mailbox.view import View
from postrider.net.system import SystemClock, SystemRandom
from postrider.protocols.imap import search as s
from postrider.store import directory
from postrider.store import transactions as t
from postrider.store.open import Keyring, Masters, Options, keyring, open_local
from postrider.store.ports import Store
from postrider.store.search.indexer import Indexer, Ports
from postrider.store.search.lookup import IndexLookup
from postrider.store.values import Account, Body, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

BIG = account_of("bench", "big@a.test")
OTHERS = [account_of("bench", f"user{number}@a.test") for number in range(100)]
#: Messages that come in through the store; those of each other account; a text's characters.
SEED, EACH, TEXT = 5000, 100, 600
RARE = "zebraquagga"
INBOX = 1
QUIET = Events(level=100)


def run(count: int, rounds: int) -> None:
    """Index short messages and long ones apart, then search; the best of the rounds."""
    _run(count, rounds, Masters())


def run_encrypted(count: int, rounds: int) -> None:
    """The same with mail that is encrypted at rest."""
    _run(count, rounds, Masters("1", {"1": bytes(range(32))}))


@dataclass(frozen=True, slots=True)
class Site:
    """A data directory and its keys."""

    path: Path
    ring: Keyring

    def open(self) -> Store:
        return open_local(self.path, Options(allow_tmpfs=True, measure_sync=False, keys=self.ring))

    def index_size(self) -> int:
        return sum(file.stat().st_size for file in [*self.path.glob("search.db"), *self.path.glob("search/*")])


def _run(count: int, rounds: int, masters: Masters) -> None:
    print(f"{count} messages in one mailbox, {EACH} in each of {len(OTHERS)} other accounts, {os.cpu_count()} cores")
    asyncio.run(_long(min(count, 1000), masters))
    with _site(masters) as site:
        asyncio.run(_fill(site, count))
        asyncio.run(_index(site, count + EACH * len(OTHERS), "short messages"))
        asyncio.run(_search(site, rounds))


@contextlib.contextmanager
def _site(masters: Masters) -> Iterator[Site]:
    path = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
    yield Site(path, keyring(path, masters))
    shutil.rmtree(path)


@dataclass(slots=True)
class Prose:
    """Text whose words are as frequent as those of people's text."""

    chance: random.Random
    words: list[str]
    weights: list[float]  # cumulative

    @classmethod
    def of(cls, seed: int) -> Prose:
        chance = random.Random(seed)
        words = ["".join(chance.choices("etaoinshrdlucmfwypvbgkqjxz", k=chance.randint(2, 9))) for _ in range(20_000)]
        return cls(chance, words, list(itertools.accumulate(1 / (rank + 1) for rank in range(len(words)))))

    def text(self, characters: int) -> str:
        return " ".join(self.chance.choices(self.words, cum_weights=self.weights, k=characters // 6))

    def message(self, characters: int, extra: str = "") -> t.NewMessage:
        raw = (
            f"From: {self.text(16)} <{self.text(6)}@b.test>\r\nTo: big@a.test\r\nSubject: {self.text(40)}{extra}\r\n"
            f"Message-ID: <{self.chance.getrandbits(60):x}@b.test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{self.text(characters)}{extra} 会議\r\n"
        ).encode()
        cached, keys = content(raw)
        return t.NewMessage(Body(hashlib.sha256(raw).digest(), len(raw), raw), 1_800_000_000, cached, thread_keys=keys)


async def _append(site: Site, messages: Iterable[tuple[Account, list[t.NewMessage]]]) -> None:
    store = site.open()
    for account, each in messages:
        await store.writer.commit(t.OpenAccount(account))
        for start in range(0, len(each), 100):
            await store.writer.commit(t.Append(account, INBOX, tuple(each[start : start + 100])))
    await store.close()


async def _fill(site: Site, count: int) -> None:
    prose = Prose.of(1)
    await _append(site, [(BIG, [prose.message(TEXT) for _ in range(min(SEED, count))])])
    await _append(site, ((account, [prose.message(TEXT) for _ in range(EACH)]) for account in OTHERS))
    while (there := _multiply(site, count)) < count:
        await _append(site, [(BIG, [prose.message(TEXT, f" {RARE}")])])
    print(f"filled with {there}", flush=True)


def _multiply(site: Site, count: int) -> int:
    """Copy the seed's rows a tenth of the way further; how many messages there are now."""
    db = apsw.Connection(str(directory.database_path(site.path)))
    with db:
        there: Any = db.execute("SELECT uidnext - 1, modseq FROM mailbox WHERE account_id = 1 AND id = 1").fetchone()
        uid, modseq = there
        goal = min(count, uid + count // 10)
        while uid < goal:
            new = min(SEED, goal - uid)
            first: Any = db.execute("SELECT seq + 1 FROM sqlite_sequence WHERE name = 'email'").fetchone()
            db.execute(
                "INSERT INTO email (account_id, blob_id, refs, size, received, prefix, cached) SELECT account_id,"
                " blob_id, 1, size, received, CAST(iif(?, '', printf('Received: by mx%d.a.test\r\n', id + ?)) AS BLOB),"
                " cached FROM email WHERE id <= ?", (site.ring.on, uid, new)
            )  # fmt: skip
            db.execute(
                "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, flags, keywords, size, saved)"
                " SELECT account_id, mailbox_id, uid + ?, uid + ?, ?, flags, keywords, size, saved FROM message"
                " WHERE account_id = 1 AND mailbox_id = 1 AND uid <= ?", (uid, first[0] - 1, modseq, new)
            )  # fmt: skip
            uid += new
        db.execute("UPDATE mailbox SET uidnext = ?, messages = ? WHERE account_id = 1 AND id = 1", (uid + 1, uid))
    db.close()
    return int(uid)


async def _index(site: Site, count: int, what: str) -> None:
    store = site.open()
    ports = Ports(site.path, store.reader, SystemClock(), SystemRandom(), QUIET, Metrics(), site.ring.key)
    indexer = Indexer(ports)
    start, before = time.perf_counter(), time.process_time()
    while await indexer.look():
        pass
    taken, cpu = time.perf_counter() - start, time.process_time() - before
    indexer.close()
    size = site.index_size()
    print(
        f"{what}: {count / taken:.0f}/s indexed, {cpu / count * 1000:.2f} ms CPU a message, lag at the end of {count}:"
        f" {taken:.0f} s; index {size / 1e6:.0f} MB, {size / _octets(site):.2f} octets an octet of mail",
        flush=True,
    )
    await store.close()


def _octets(site: Site) -> int:
    """What all messages together have."""
    db = apsw.Connection(str(directory.database_path(site.path)), flags=apsw.SQLITE_OPEN_READONLY)
    ((octets,),) = db.execute("SELECT sum(size) FROM message").fetchall()
    db.close()
    return int(str(octets))


async def _long(count: int, masters: Masters) -> None:
    with _site(masters) as site:
        prose = Prose.of(2)
        await _append(site, [(BIG, [prose.message(24 * 1024) for _ in range(count)])])
        await _index(site, count, "messages of 24 KiB")


async def _search(site: Site, rounds: int) -> None:
    """The first fifty hits, newest first: at the first asking (`cold`: no page of the index read) and after."""
    prose = Prose.of(1)
    store = site.open()
    mailbox = await store.reader.mailbox(BIG, INBOX)
    assert mailbox is not None
    view = View(mailbox, False, await store.reader.uids(BIG, INBOX), mailbox.modseq)
    asked: Mapping[str, s.Key] = {
        "rare": s.BodyHas(RARE, header=False),
        "rare, TEXT": s.BodyHas(RARE, header=True),
        "common": s.BodyHas(prose.words[20], header=False),
        "common, TEXT": s.BodyHas(prose.words[20], header=True),
        "SUBJECT": s.HeaderHas(b"subject", prose.words[20]),
        "two ideographs": s.BodyHas("会議", header=False),
        "one letter": s.BodyHas("q", header=False),
        "common, not another": s.And(
            (s.BodyHas(prose.words[20], header=False), s.Not(s.BodyHas(prose.words[200], header=False)))
        ),
        "nowhere": s.BodyHas("@nowhere@", header=True),
        "NOT rare": s.Not(s.BodyHas(RARE, header=False)),
        "NOT common, TEXT": s.Not(s.BodyHas(prose.words[20], header=True)),
        "OR rare FLAGGED": s.Or(s.BodyHas(RARE, header=False), s.HasFlags(4)),
        "OR common FLAGGED": s.Or(s.BodyHas(prose.words[20], header=False), s.HasFlags(4)),
    }
    for name, key in asked.items():
        figures: list[float] = []
        lookup = IndexLookup(site.path, QUIET, store.reader, site.ring.key)
        for _ in range(rounds + 1):
            scope = Scope(store.reader, BIG, view, lookup, time.time(), QUIET)
            start, hits = time.perf_counter(), 0
            async for _ in query.newest(scope, key):
                hits += 1
                if hits == 50:
                    break
            figures.append((time.perf_counter() - start) * 1000)
        print(f"{name:24} first {hits:3} hits: cold {figures[0]:7.1f} ms, then {min(figures[1:]):7.1f} ms", flush=True)
        lookup.close()
    for name in ("rare", "common", "common, not another", *(one for one in asked if one.startswith(("NOT", "OR")))):
        lookup = IndexLookup(site.path, QUIET, store.reader, site.ring.key)
        start = time.perf_counter()
        found = await query.find(Scope(store.reader, BIG, view, lookup, time.time(), QUIET), asked[name])
        print(f"{name:24} all {len(found.uids)} hits: {time.perf_counter() - start:.2f} s", flush=True)
        lookup.close()
    await store.close()
