"""Housekeeping that cannot be done: it is told, tried again, and nobody else suffers from it."""

from dataclasses import replace

import apsw
from stored import ALICE, append, intake

from postrider.store import transactions as t
from postrider.store.sqlite.committer import SqliteCommitter


class Told:
    """Collects events."""

    def __init__(self):
        self.names = []

    def emit(self, event, **_):
        self.names.append(event)


def full(_):
    raise apsw.FullError("database or disk is full")


def turns(committer, clock, number):
    for _ in range(number):
        clock.seconds += 61
        committer.between()


async def test_a_removed_folder_is_cleared_away_when_the_disk_has_room_again(data, options, clock):
    told = Told()
    committer = SqliteCommitter(data, replace(options, events=told))
    folder = committer.commit([t.CreateMailbox(ALICE, "Gone")]).results[0].id
    for _ in range(3):
        committer.commit([append(folder, *[b"a: b\r\n\r\n%d" % n for n in range(100)])])
    committer.commit([t.DeleteMailbox(ALICE, folder)])
    upkeep = committer._upkeep
    hands, upkeep._hands = upkeep._hands, replace(upkeep._hands, clear=full)
    turns(committer, clock, 20)
    assert "store.write_failed" in told.names
    upkeep._hands = hands
    turns(committer, clock, 200)
    assert committer._db.execute("SELECT count(*) FROM doomed").fetchone() == (0,)
    committer.close()


async def test_a_damaged_page_does_not_end_the_writer(data, options, clock):
    committer = SqliteCommitter(data, options)
    for _ in range(40):
        committer.commit([intake(ALICE, thread_keys=(b"%d" % n,)) for n in range(20)])
    committer.close()
    db = apsw.Connection(str(data / "mail.db"))
    pages = db.execute("SELECT pageno FROM dbstat WHERE name = 'email' AND pagetype = 'leaf'").fetchall()
    db.close()
    with (data / "mail.db").open("r+b") as file:
        file.seek((pages[3][0] - 1) * 4096)
        file.write(b"\xff" * 300)
    told = Told()
    committer = SqliteCommitter(data, replace(options, events=told))
    committer._upkeep._snapshot.ask()  # it reads every row
    turns(committer, clock, 100)
    assert "store.write_failed" in told.names
    assert [type(one) for one in committer.commit([intake(ALICE)]).results] == [t.IntakeDone]
    committer.close()
