"""SEARCH equals brute force, whatever messages are encoded in and however much of them is indexed."""

import asyncio
import base64
import io
import quopri
import random
import threading
import unicodedata
from dataclasses import dataclass

import pytest
from stored import ALICE, INBOX, MASTERS, NOON, StillClock, body_of

from postrider.ingest.content import content
from postrider.mailbox import query
from postrider.mailbox.candidates import Scope
from postrider.mailbox.view import View
from postrider.mime.text import fold
from postrider.net.system import SystemRandom
from postrider.protocols.imap import search as s
from postrider.store import transactions as t
from postrider.store.keyring import Masters
from postrider.store.open import Options, connect, keyring, open_local, open_writer
from postrider.store.search import file, wanted
from postrider.store.search.indexer import Indexer, Ports
from postrider.store.search.lookup import IndexLookup
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: What people write, and the charsets that can carry it.
SCRIPTS = {
    "us-ascii": 'the quick brown fox, jumps over THE LAZY dog. 0123 (a+b)=c; "q" \'%_*',
    "iso-8859-1": "Ça va? Être à l'été: Straße GRÖSSE ñandú, ÅÄÖ æøå",
    "utf-8": "Ελληνικά ΣΊΣΥΦΟΣ ﬁn naïve İstanbul 😀😃 ｆｕｌｌ Привет мир 한글 e\u0301",
    "iso-2022-jp": "会議の資料を送ります。明日カタカナひらがな本日はABC東京都",
    "gb18030": "会议资料北京上海你好世界，中文ABC邮件漢字㐀",
}
KINDS = ("body", "text", "subject", "from", "to", "row", "not", "or", "and")
DAY = 86400
ENCODINGS = {
    "quoted-printable": lambda data: quopri.encodestring(data).replace(b"\n", b"\r\n"),
    "base64": lambda data: base64.encodebytes(data).replace(b"\n", b"\r\n"),
    "8bit": lambda data: data,
}


@dataclass
class Letter:
    """A message, and what one reads in it."""

    raw: bytes
    fields: list
    texts: list
    flags: int = 0
    received: int = NOON
    uid: int = 0


class Writer:
    """Writes letters by chance."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.written = 0

    def words(self, charset, most):
        signs = SCRIPTS[charset]
        found = []
        for _ in range(self.chance.randint(1, most)):
            at = self.chance.randrange(len(signs))
            found.append(signs[at : at + self.chance.randint(1, 12)].strip() or "x")
        return self.chance.choice((" ", " ", "")).join(found)

    def letter(self):
        """A message, with flags and a day, and the UID that it will have."""
        letter = self.content()
        self.written += 1
        letter.uid = self.written
        letter.flags, letter.received = self.chance.randint(0, 31), NOON - self.chance.randint(0, 5 * DAY)
        return letter

    def content(self):
        charset = self.chance.choice(list(SCRIPTS))
        fields = [
            ("from", f"{self.words('us-ascii', 1).replace(',', '')} <ann@one.test>"),
            ("to", self.words(charset, 2)),
            ("subject", self.words(charset, 5)),
            ("message-id", f"<{self.chance.getrandbits(40):x}@one.test>"),
        ]
        head = b"".join(self.field(name, value, charset) for name, value in fields)
        texts = [self.words(charset, 25) for _ in range(self.chance.choice((1, 1, 2)))]
        parts = [self.part(text, charset, fields if len(texts) == 1 else []) for text in texts]
        if len(parts) == 1:
            return Letter(head + parts[0], fields, texts)
        fields.append(("content-type", "multipart/mixed; boundary=bound"))
        body = b"".join(b"--bound\r\n" + part + b"\r\n" for part in parts)
        head += b"Content-Type: multipart/mixed; boundary=bound\r\n\r\n"
        return Letter(head + body + b"--bound--\r\n", fields, texts)

    def field(self, name, value, charset):
        """A field, folded, with encoded words where it must."""
        if value.isascii():
            value = value.replace(" ", "\r\n ") if self.chance.random() < 0.3 else value
            return f"{name.title()}: {value}\r\n".encode()
        words = []
        size = self.chance.randint(4, 12)
        for at in range(0, len(value), size):
            data = value[at : at + size].encode(charset)
            if self.chance.random() < 0.5:
                words.append(b"=?%b?B?%b?=" % (charset.encode(), base64.b64encode(data)))
            else:
                words.append(b"=?%b?Q?%b?=" % (charset.encode(), b"".join(b"=%02X" % octet for octet in data)))
        return name.title().encode() + b": " + b"\r\n ".join(words) + b"\r\n"

    def part(self, text, charset, fields):
        encoding = self.chance.choice(list(ENCODINGS))
        heads = [("content-type", f"text/plain; charset={charset}"), ("content-transfer-encoding", encoding)]
        fields += heads
        head = b"".join(f"{name.title()}: {value}\r\n".encode() for name, value in heads)
        return head + b"\r\n" + ENCODINGS[encoding](text.encode(charset))

    def asked(self, letters):
        """A text of 1 to 20 characters: mostly out of a letter, as somebody else might have typed it."""
        size = self.chance.randint(1, 20)
        if self.chance.random() < 0.2:
            signs = SCRIPTS[self.chance.choice(list(SCRIPTS))]
            return "".join(self.chance.choices(signs, k=min(size, 3)))
        letter = self.chance.choice(letters)
        text = self.chance.choice([*letter.texts, *(value for _, value in letter.fields)])
        at = self.chance.randrange(len(text))
        change = self.chance.choice((str, str, str.upper, str.lower, lambda text: unicodedata.normalize("NFD", text)))
        return change(text[at : at + size])

    def row_key(self):
        """A key that needs no text."""
        day, number = (NOON // DAY) + self.chance.randint(-3, 3), self.chance.randint(200, 600)
        return self.chance.choice((
            (s.HasFlags(1), lambda letter: letter.flags & 1),
            (s.Not(s.HasFlags(10)), lambda letter: letter.flags & 10 != 10),
            (s.Sized(larger=True, octets=number), lambda letter: len(letter.raw) > number),
            (s.Sized(larger=False, octets=number), lambda letter: len(letter.raw) < number),
            (s.Dated("received", "SINCE", day), lambda letter: letter.received // DAY >= day),
            (s.Dated("received", "ON", day), lambda letter: letter.received // DAY == day),
            (s.Dated("saved", "BEFORE", day), lambda _: day > NOON // DAY),
            (s.Within(True, 2 * DAY), lambda letter: NOON - letter.received <= 2 * DAY),
            (s.InSet(((1, 70), (90, 100)), by_uid=True), lambda letter: letter.uid <= 70 or 90 <= letter.uid <= 100),
        ))  # fmt: skip

    def key(self, letters, depth=0):
        """A search key, and whether a letter matches it."""
        kind = self.chance.choice(KINDS if depth < 3 else KINDS[:6])
        if kind in ("not", "or", "and"):
            return self.several(kind, letters, depth)
        if kind == "row":
            return self.row_key()
        return self.text_key(kind, self.asked(letters))

    def several(self, kind, letters, depth):
        one, first = self.key(letters, depth + 1)
        if kind == "not":
            return s.Not(one), lambda letter: not first(letter)
        other, second = self.key(letters, depth + 1)
        if kind == "or":
            return s.Or(one, other), lambda letter: first(letter) or second(letter)
        return s.And((one, other)), lambda letter: first(letter) and second(letter)

    def text_key(self, kind, text):
        wanted = fold(text)
        if kind == "body":
            return s.BodyHas(text, header=False), lambda letter: in_body(letter, wanted)
        if kind == "text":
            return (
                s.BodyHas(text, header=True),
                lambda letter: (
                    in_body(letter, wanted) or any(wanted in f"{name}: {fold(value)}" for name, value in letter.fields)
                ),
            )
        return s.HeaderHas(kind.encode(), text), lambda letter: any(
            wanted in fold(value) for name, value in letter.fields if name == kind
        )


def in_body(letter, wanted):
    return any(wanted in fold(text) for text in letter.texts)


@pytest.fixture
def masters():
    """What mail is encrypted with."""
    return Masters()


@pytest.fixture
def ring(tmp_path, masters):
    return keyring(tmp_path, masters)


@pytest.fixture
async def store(tmp_path, ring):
    store = open_local(tmp_path, Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, keys=ring))
    yield store
    await store.close()


@pytest.fixture
def make_indexer(store, tmp_path, ring):
    made = []

    def make():
        log, metrics = Events(io.StringIO()), Metrics()
        made.append(Indexer(Ports(tmp_path, store.reader, StillClock(), SystemRandom(), log, metrics, ring.key)))
        return made[-1]

    yield make
    for indexer in made:
        indexer.close()


@pytest.fixture
def lookup(tmp_path, store, ring):
    found = IndexLookup(tmp_path, Events(io.StringIO()), store.reader, ring.key)
    yield found
    found.close()


async def append(store, letters, mailbox_id=INBOX):
    for start in range(0, len(letters), 50):
        messages = []
        for letter in letters[start : start + 50]:
            cached, keys = content(letter.raw)
            body = body_of(letter.raw)
            messages.append(t.NewMessage(body, letter.received, cached, letter.flags, thread_keys=keys))
        await store.writer.commit(t.Append(ALICE, mailbox_id, tuple(messages)))


async def view_of(store):
    mailbox = await store.reader.mailbox(ALICE, INBOX)
    return View(mailbox, False, await store.reader.uids(ALICE, INBOX), mailbox.modseq)


async def index_all(indexer):
    while await indexer.look():
        pass


async def compare(store, lookup, letters, writer, queries):
    """Ask at random; letters[n] is what has the UID n+1. How many questions had an answer."""
    view = await view_of(store)
    scope = Scope(store.reader, ALICE, view, lookup, float(NOON), Events(io.StringIO()))
    found = 0
    for number in range(queries):
        key, matches = writer.key(letters)
        right = [at for at, letter in enumerate(letters) if matches(letter)]
        assert [number - 1 for number in (await query.find(scope, key)).numbers] == right, key
        if not number % 4:
            newest = [uid async for uid in query.newest(scope, key)]
            assert newest == [at + 1 for at in reversed(right)]
        found += bool(right)
    return found


@pytest.mark.parametrize(
    ("indexed", "masters"), [(wanted.MAX_INDEXED, Masters()), (150, Masters()), (wanted.MAX_INDEXED, MASTERS)]
)
@pytest.mark.parametrize("queries", [90, pytest.param(1000, marks=pytest.mark.crash)])
async def test_search_equals_brute_force(store, ring, make_indexer, lookup, tmp_path, queries, indexed, monkeypatch):
    """Whether the index has messages wholly, in part, or not at all, and whether it is encrypted."""
    monkeypatch.setattr(wanted, "MAX_INDEXED", indexed)
    writer = Writer(queries)
    letters = [writer.letter() for _ in range(160)]
    await append(store, letters[:110])
    each = queries // 6
    found = await compare(store, lookup, letters[:110], writer, each)  # there is no index
    indexer = make_indexer()
    await index_all(indexer)
    found += await compare(store, lookup, letters[:110], writer, each)  # everything is indexed
    await append(store, letters[110:])
    found += await compare(store, lookup, letters, writer, each)  # the indexer is behind
    row = await store.reader.account(ALICE)
    assert row.encrypted is bool(ring.on)
    file.remove(file.index_path(tmp_path, row.key_id))
    found += await compare(store, lookup, letters, writer, each)  # the index is gone
    more, _ = await asyncio.gather(compare(store, lookup, letters, writer, each), index_all(indexer))  # comes back
    found += more
    found += await compare(store, lookup, letters, writer, each)  # and is there
    assert found > queries / 4
    covered = await lookup.covered(ALICE, (await store.reader.mailbox(ALICE, INBOX)).uidvalidity)
    assert covered.uid == len(letters)


async def test_two_fronts_find_what_either_stored_at_once(tmp_path):
    """The index is written by a process of its own; a front that never heard of it scans what it does not cover."""
    server = open_writer(tmp_path, Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False))
    server.listen(tmp_path / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    one, other, third = [await connect(tmp_path, tmp_path / "s") for _ in range(3)]
    indexer = Indexer(Ports(tmp_path, third.reader, StillClock(), SystemRandom(), Events(io.StringIO()), Metrics()))
    lookups = [IndexLookup(tmp_path, Events(io.StringIO())) for _ in range(2)]
    try:
        writer = Writer(3)
        letters = []
        for front, lookup in ((one, lookups[1]), (other, lookups[0])) * 2:
            more = [writer.letter() for _ in range(60)]
            letters += more
            await append(front, more)
            await compare(other if front is one else one, lookup, letters, writer, 8)
            await index_all(indexer)
            await compare(other if front is one else one, lookup, letters, writer, 8)
    finally:
        indexer.close()
        for lookup in lookups:
            lookup.close()
        for front in (one, other, third):
            await front.close()
        server.stop()
        thread.join()
