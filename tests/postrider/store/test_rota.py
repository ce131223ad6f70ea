"""Housekeeping in turns: portions that fit, and nobody who goes without."""

import pytest
from stored import StillClock

from postrider.store.sqlite.rota import IDLE, LITTLE, Job, Portion, Rota


class Work:
    """A job that takes some seconds for each thing it does, and has so many things to do."""

    def __init__(self, clock, name, things, cost, least=1):
        self.clock, self.things, self.cost, self.fails = clock, things, cost, False
        self.took = []
        self.job = Job(name, self.waits, self.step, Portion(1000, least))

    def waits(self):
        return 0.0 if self.things else IDLE

    def step(self):
        done = min(self.things, self.job.portion.size)
        self.things -= 0 if self.fails else done
        self.took.append(done * self.cost)
        self.clock.seconds += done * self.cost
        return not self.fails


@pytest.fixture
def clock():
    return StillClock()


def test_a_portion_is_as_large_as_takes_little_time(clock):
    work = Work(clock, "work", 20_000, 0.0001)
    rota = Rota([work.job], clock, lambda *_: None)
    while rota.turn() == 0:
        pass
    assert work.things == 0
    assert max(work.took[5:]) <= LITTLE
    assert sum(work.took) / len(work.took) > LITTLE / 5  # and no smaller than it need be
    work.things, work.cost, work.took = 2000, 0.001, []  # the disk is busy now
    while rota.turn() == 0:
        pass
    assert max(work.took[3:]) <= LITTLE


def test_a_portion_has_its_least_and_its_most(clock):
    portion = Portion(100, 5)
    for _ in range(50):
        portion.took(1.0)
    assert portion.size == 5
    for _ in range(50):
        portion.took(0.0)
    assert portion.size == 100


def test_each_has_its_turn_and_what_it_took_is_told(clock):
    told = []
    works = [Work(clock, name, 500, 0.001) for name in "abc"]
    rota = Rota([work.job for work in works], clock, lambda name, seconds: told.append((name, round(seconds, 3))))
    assert [rota.turn() for _ in range(3)] == [0, 0, 0]
    assert [name for name, _ in told] == ["a", "b", "c"]
    assert [seconds for _, seconds in told] == [works[0].took[0]] * 3


def test_what_fails_rests_and_holds_nobody_up(clock):
    bad, good = Work(clock, "bad", 10, 0.0), Work(clock, "good", 10, 0.0)
    bad.fails = True
    rota = Rota([bad.job, good.job], clock, lambda *_: None)
    assert rota.turn() == 0
    assert rota.turn() == IDLE
    assert (len(bad.took), good.things) == (1, 0)
    clock.seconds += IDLE
    bad.fails = False
    assert rota.turn() == IDLE
    assert bad.things == 0
