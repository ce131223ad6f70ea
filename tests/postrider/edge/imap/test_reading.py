"""What FETCH reads of bodies: nothing where the cache answers, else the ranges it sends."""

from __future__ import annotations

import base64
import random

import pytest

from postrider.edge.imap_sections import BLOCK

ATTACHED = random.Random(7).randbytes(1_500_000)
ENCODED = base64.encodebytes(ATTACHED).replace(b"\n", b"\r\n")
INNER = b"From: inner@example.net\r\nSubject: inside\r\n\r\nInner text\r\n"
MESSAGE = (
    b"From: Carol <carol@example.net>\r\nTo: alice@example.org\r\nSubject: large\r\nMessage-ID: <1@example.net>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe\r\n"
    b"--b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + ENCODED +
    b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + INNER +
    b"\r\n--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: x-unknown\r\n\r\n????\r\n--b--\r\n"
)  # fmt: skip
LONG_HEADER = b"Subject: first\r\n" + b"X-Filler: " + b"x" * 40_000 + b"\r\nTo: b@example.org\r\n\r\nbody\r\n"


class Reading:
    """The store's reader; it remembers which ranges of bodies were read."""

    def __init__(self, reader):
        self._reader = reader
        self.ranges = []

    def __getattr__(self, name):
        return getattr(self._reader, name)

    async def body(self, account, blob, start=0, length=None):
        found = await self._reader.body(account, blob, start, length)
        self.ranges.append((start, len(found)))
        return found

    @property
    def octets(self):
        return sum(length for _, length in self.ranges)


@pytest.fixture
def reading(site):
    site.store.reader = Reading(site.store.reader)
    return site.store.reader


@pytest.mark.parametrize(
    "items",
    [
        "ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE", "PREVIEW", "BODY.PEEK[HEADER]", "ALL", "FULL",
        "BODY.PEEK[HEADER.FIELDS (From To Subject)]", "BODY.PEEK[HEADER.FIELDS.NOT (To)]<0.20>", "RFC822.HEADER",
        "(BINARY.SIZE[1] BINARY.SIZE[2] BINARY.SIZE[3] BINARY.SIZE[])",
        "(UID FLAGS INTERNALDATE ENVELOPE BODYSTRUCTURE EMAILID THREADID)",
    ],
)  # fmt: skip
async def test_what_is_cached_reads_no_body(connect, reading, items):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        lines = await one.ask(f"FETCH 1 {items}")
        assert b" OK " in lines[-1]
        assert lines[0].startswith(b"* 1 FETCH (")
        assert reading.ranges == []


async def test_the_cached_sizes_are_those_of_what_is_sent(connect, reading):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        lines = await one.ask("FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2] BINARY.SIZE[] BINARY.SIZE[9])")
        assert lines[0] == (
            b"* 1 FETCH (BINARY.SIZE[1] 7 BINARY.SIZE[2] 1500000 BINARY.SIZE[] %d BINARY.SIZE[9] 0)\r\n" % len(MESSAGE)
        )


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ("BODY.PEEK[2]<0.1000>", ENCODED[:1000]),
        ("BODY.PEEK[2]<5000.1000>", ENCODED[5000:6000]),
        ("BODY.PEEK[]<100.50>", MESSAGE[100:150]),
        ("BODY.PEEK[TEXT]<10.10>", MESSAGE.partition(b"\r\n\r\n")[2][10:20]),
        ("BODY.PEEK[3]", INNER),
        (
            "BODY.PEEK[2.MIME]",
            b"Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        ),
        ("BODY.PEEK[3.HEADER]", INNER.partition(b"Inner")[0]),
        ("BODY.PEEK[3.TEXT]", b"Inner text\r\n"),
    ],
)
async def test_a_section_reads_its_own_range(connect, reading, item, wanted):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        told = b"".join(await one.ask(f"FETCH 1 {item}"))
        assert b"{%d}\r\n%b)\r\n" % (len(wanted), wanted) in told
        assert [(start, MESSAGE[start : start + length]) for start, length in reading.ranges] == [
            (reading.ranges[0][0], wanted)
        ]


async def test_fields_of_an_inner_header_read_that_header(connect, reading):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        told = b"".join(await one.ask("FETCH 1 BODY.PEEK[3.HEADER.FIELDS (Subject)]"))
        assert b"Subject: inside\r\n\r\n)" in told
        assert reading.octets == len(INNER.partition(b"Inner")[0])


@pytest.mark.parametrize(("start", "length", "most"), [(0, 1000, 2000), (3, 1, 300), (1_499_990, 100, 2_100_000)])
async def test_a_decoded_part_is_read_no_further_than_asked(connect, reading, start, length, most):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        told = b"".join(await one.ask(f"FETCH 1 BINARY.PEEK[2]<{start}.{length}>"))
        wanted = ATTACHED[start : start + length]
        assert b"{%d}\r\n%b)\r\n" % (len(wanted), wanted) in told
        assert reading.octets <= most


async def test_a_large_part_is_decoded_block_by_block(connect, reading):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        told = b"".join(await one.ask("FETCH 1 BINARY.PEEK[2]"))
        assert b"BINARY[2] ~{1500000}\r\n" + ATTACHED + b")\r\n" in told
        assert reading.octets == len(ENCODED)
        blocks = [range(start // BLOCK, (start + length - 1) // BLOCK + 1) for start, length in reading.ranges]
        assert [list(touched) for touched in blocks] == [[number] for number in range(len(blocks))]


async def test_a_whole_message_is_read_block_by_block(connect, reading):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.ask("SELECT INBOX")
        await one.say(b"whole FETCH 1 BODY.PEEK[]\r\n")
        assert MESSAGE in b"".join(await one.until(b"whole OK"))
        assert reading.ranges == [(at, min(BLOCK, len(MESSAGE) - at)) for at in range(0, len(MESSAGE), BLOCK)]


async def test_an_encoding_nobody_knows(connect):
    async with connect() as one:
        await one.append(MESSAGE)
        await one.append(INNER)
        await one.ask("SELECT INBOX")
        lines = await one.ask("FETCH 1:2 BINARY.PEEK[4]")
        assert lines[0] == b"* 2 FETCH (BINARY[4] NIL)\r\n"
        assert b" NO [UNKNOWN-CTE] " in lines[-1]
        assert b"????" in b"".join(await one.ask("FETCH 1 BODY.PEEK[4]"))


async def test_a_header_too_long_for_the_cache(connect, reading):
    async with connect() as one:
        await one.append(LONG_HEADER)
        await one.ask("SELECT INBOX")
        header = LONG_HEADER.removesuffix(b"body\r\n")
        assert header + b")\r\n" in b"".join(await one.ask("FETCH 1 BODY.PEEK[HEADER]"))
        fields = b"".join(await one.ask("FETCH 1 BODY.PEEK[HEADER.FIELDS (To Subject)]"))
        assert b"Subject: first\r\nTo: b@example.org\r\n\r\n)" in fields
        assert reading.octets == 2 * len(header)


@pytest.mark.parametrize("item", ["ENVELOPE", "BODYSTRUCTURE", "PREVIEW", "BODY.PEEK[2]<0.10>"])
async def test_what_was_not_cached_is_found_once_and_kept(connect, site, reading, item):
    await site.deliver(MESSAGE, b"Received: from x\r\nDate: added\r\n")
    async with connect() as one:
        await one.ask("SELECT INBOX")
        first = await one.ask(f"FETCH 1 {item}")
        assert (0, len(MESSAGE)) in reading.ranges
        reading.ranges.clear()
        second = await one.ask(f"FETCH 1 {item}")
        assert first[:-1] == second[:-1]
        assert reading.octets <= 10
        assert b'ENVELOPE ("added" "large"' in (await one.ask("FETCH 1 ENVELOPE"))[0]


async def test_dates_that_have_no_year_of_four_digits_are_told_as_the_nearest_that_has(connect):
    async with connect() as one:
        for date in ("01-Jan-0001 00:00:00 +1400", "31-Dec-9999 23:59:59 -1200"):
            await one.append(b"Subject: odd\r\n\r\n", f'INBOX "{date}"')
        await one.ask("SELECT INBOX")
        dates = b"".join((await one.ask("FETCH 1:2 INTERNALDATE"))[:-1])
        assert dates == (
            b'* 1 FETCH (INTERNALDATE "01-Jan-0001 00:00:00 +0000")\r\n'
            b'* 2 FETCH (INTERNALDATE "31-Dec-9999 23:59:59 +0000")\r\n'
        )
