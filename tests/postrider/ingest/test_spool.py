"""Messages on their way in that lie in a file."""

import mmap

from postrider.ingest.spool import IN_MEMORY, Spool

#: A whole number of pages: nothing of the file, and maybe nothing at all, is mapped behind it.
SIZE = -(-2 * IN_MEMORY // mmap.PAGESIZE) * mmap.PAGESIZE
WHOLE = b"Subject: x\r\n\r\n" + b"text\r\n" * SIZE
#: At the end, at the beginning, almost at the end, nowhere.
SOUGHT = (b"\n\nend", b"end", b"d", b"Subject", b"\r\n\r\n", b"text\n", b"not there", b"end\n")


async def test_a_file_is_searched_as_octets_are(tmp_path):
    whole = WHOLE[: SIZE - 5] + b"\n\nend"
    spool = Spool(tmp_path, drop_return_path=False)
    await spool.write(whole)
    spooled = spool.finish()
    assert spooled.body.path
    assert spooled.body.size == SIZE == len(whole)
    with spooled.octets() as octets:
        assert len(octets) == SIZE
        assert octets[SIZE - 4 : SIZE + 4] == b"\nend"
        for sub in (*SOUGHT, whole, whole + b"."):
            for start in (0, 1, SIZE - 5, SIZE - 3, SIZE - 2, SIZE - 1, SIZE, SIZE + 1):
                for end in (0, 5, SIZE - 4, SIZE - 1, SIZE, SIZE + 9):
                    assert octets.find(sub, start, end) == whole.find(sub, start, end), (sub[:20], start, end)
    spool.close()
    assert not list(tmp_path.iterdir())
