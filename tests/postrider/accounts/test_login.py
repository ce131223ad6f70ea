"""Logins: who gets in, what a failure costs and tells, and how delays keep strangers from locking users out."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import pytest

from postrider.accounts.directory import Directory
from postrider.accounts.login import BUSY, REFUSAL_SECONDS, TOO_MANY_FAILURES, Login
from postrider.contract import passwords
from postrider.contract.model import Domain, Limits, Mailbox, Server, Snapshot
from postrider.model.reply import Refused, Reply

IP = "192.0.2.1"
SALT = random.Random(1).randbytes
ALICE = Mailbox(address="alice@example.org", verifiers=passwords.make("wonderland", token=SALT))
ROBOT = Mailbox(address="robot@example.org", verifiers=passwords.make("x" * 32, generated=True, token=SALT))
MUTE = Mailbox(address="mute@example.org")
SNAPSHOT = Snapshot(
    server=Server(hostname="mx.example.org", limits=Limits(login_failures=3)),
    domains=(Domain(name="example.org"),),
    mailboxes=(ALICE, ROBOT, MUTE),
)


@dataclass
class World:
    """Time that passes when somebody sleeps, and the snapshot being served."""

    directory: Directory = field(default_factory=lambda: Directory(SNAPSHOT))
    at: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def serve(self, *mailboxes: Mailbox) -> None:
        self.directory = Directory(msgspec.structs.replace(SNAPSHOT, mailboxes=mailboxes))


class Seeded:
    """A source of randomness that repeats itself."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def login(world: World) -> AsyncIterator[Login]:
    made = Login(lambda: world.directory, world, Seeded(), world.sleep)
    yield made
    made.close()


@pytest.mark.parametrize("name", ["alice@example.org", "Alice@EXAMPLE.org", '"alice"@example.org'])
async def test_the_right_password(login: Login, name: str) -> None:
    assert await login.check(name, "wonderland", IP) == ALICE


async def test_a_generated_password(login: Login) -> None:
    assert await login.check("robot@example.org", "x" * 32, IP) == ROBOT


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice@example.org", "Wonderland"),
        ("alice@example.org", ""),
        ("alice@example.org", ALICE.verifiers[0]),
        ("robot@example.org", "wonderland"),
        ("mute@example.org", ""),
        ("nobody@example.org", "wonderland"),
        ("alice", "wonderland"),
        ("alice+x@example.org", "wonderland"),
        ("", ""),
        ("alice@example.org\0", "wonderland"),
        ("\ud800@example.org", "\ud800"),
    ],
)
async def test_everything_else(login: Login, name: str, password: str) -> None:
    assert await login.check(name, password, IP) is None


def cost(verifier: str) -> str:
    """Scheme and parameters: what it takes to hold a password against it."""
    return re.match(r"[^:]*?(:|p=\d+)", verifier)[0]  # type: ignore[index]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The costs of all that was computed, but for what costs nothing."""
    found: list[str] = []
    verify = passwords.verify

    def noted(verifier: str, password: str) -> bool:
        if not passwords.is_fast(verifier):
            found.append(cost(verifier))
        return verify(verifier, password)

    monkeypatch.setattr(passwords, "verify", noted)
    return found


async def test_the_second_login_costs_nothing(login: Login, computed: list[str]) -> None:
    assert await login.check("alice@example.org", "wonderland", IP)
    assert computed.pop()
    assert await login.check("alice@example.org", "wonderland", IP)
    assert computed == []


@pytest.mark.parametrize(
    "name", ["alice@example.org", "nobody@example.org", "robot@example.org", "mute@example.org", "?"]
)
async def test_a_failure_tells_nothing_about_who_exists(
    login: Login, world: World, computed: list[str], name: str
) -> None:
    """The same work is done, and the answer leaves at the same moment, for everybody."""
    assert await login.check(name, "guess", IP) is None
    assert computed == [cost(verifier) for verifier in ALICE.verifiers]
    assert world.slept == [REFUSAL_SECONDS]


async def test_a_changed_password_is_effective_at_once(login: Login, world: World) -> None:
    assert await login.check("alice@example.org", "wonderland", IP)
    changed = Mailbox(address="alice@example.org", verifiers=passwords.make("mirror", token=SALT))
    world.serve(changed)
    assert await login.check("alice@example.org", "wonderland", IP) is None
    assert await login.check("alice@example.org", "mirror", IP) == changed


async def test_a_deleted_mailbox_is_out_at_once(login: Login, world: World) -> None:
    assert await login.check("alice@example.org", "wonderland", IP)
    world.serve(ROBOT)
    assert await login.check("alice@example.org", "wonderland", IP) is None


async def test_a_mailbox_that_lost_its_password_is_not_open(login: Login, world: World) -> None:
    world.serve(Mailbox(address="alice@example.org"))
    for _ in range(2):
        assert await login.check("alice@example.org", "", IP) is None


async def fail(login: Login, times: int, name: str = "alice@example.org", ip: str = IP) -> None:
    for _ in range(times):
        assert await login.check(name, "guess", ip) is None


async def test_failures_of_a_login_delay_it_from_everywhere(login: Login, world: World) -> None:
    for n in range(3):
        await fail(login, 1, ip=f"198.51.100.{n}")
    world.slept.clear()
    assert await login.check("alice@example.org", "wonderland", IP) == ALICE
    assert world.slept == [1.0]


async def test_failures_of_an_address_delay_all_its_logins(login: Login, world: World) -> None:
    for n in range(3):
        await fail(login, 1, name=f"guess{n}@example.org")
    world.slept.clear()
    assert await login.check("robot@example.org", "x" * 32, IP) == ROBOT
    assert world.slept == [1.0]


async def test_ipv6_counts_by_network(login: Login, world: World) -> None:
    for n in range(3):
        await fail(login, 1, name=f"guess{n}@example.org", ip=f"2001:db8::{n}")
    world.slept.clear()
    assert await login.check("robot@example.org", "x" * 32, "2001:db8::ffff") == ROBOT
    assert world.slept == [1.0]
    world.slept.clear()
    assert await login.check("alice@example.org", "wonderland", "2001:db8:1::1") == ALICE
    assert world.slept == []


async def refusal(login: Login, password: str, ip: str) -> Reply | None:
    """The reply alice's try is turned away with, None when it is answered."""
    try:
        await login.check("alice@example.org", password, ip)
    except Refused as refused:
        return refused.reply
    return None


async def test_who_goes_on_is_turned_away_for_a_while(login: Login, world: World) -> None:
    replies = [await refusal(login, "guess", IP) for _ in range(20)]
    assert replies[0] is None
    assert replies[-1] == TOO_MANY_FAILURES
    world.at += 601
    assert await login.check("alice@example.org", "wonderland", IP) == ALICE


async def test_strangers_cannot_lock_a_user_out_of_a_place_she_uses(login: Login, world: World) -> None:
    assert await login.check("alice@example.org", "wonderland", IP)
    replies = [await refusal(login, f"guess{n}", f"198.51.100.{n}") for n in range(20)]
    assert replies[-1] == TOO_MANY_FAILURES
    world.slept.clear()
    # A new device on her network, and a changed password so that no earlier success is remembered.
    changed = Mailbox(address="alice@example.org", verifiers=passwords.make("mirror", token=SALT))
    world.serve(changed)
    assert await login.check("alice@example.org", "mirror", IP) == changed
    assert world.slept == []


async def test_a_success_forgives_the_login_not_the_address(login: Login, world: World) -> None:
    await fail(login, 2, ip="198.51.100.1")
    assert await login.check("alice@example.org", "wonderland", IP)
    world.serve(Mailbox(address="alice@example.org", verifiers=passwords.make("mirror", token=SALT)))
    world.slept.clear()
    await fail(login, 1, ip="203.0.113.1")
    assert world.slept == [REFUSAL_SECONDS]


async def test_many_at_once_for_one_login_wait_for_their_turn(world: World) -> None:
    """Side by side they could all guess before the first failure counts."""
    gate = asyncio.Event()

    async def sleep(seconds: float) -> None:
        world.slept.append(seconds)
        await gate.wait()

    login = Login(lambda: world.directory, world, Seeded(), sleep)
    tries = [asyncio.create_task(login.check("alice@example.org", f"guess{n}", f"198.51.100.{n}")) for n in range(30)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    turned_away = [task for task in tries if task.done() and isinstance(task.exception(), Refused)]
    assert len(turned_away) >= 15
    gate.set()
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert all(answer is None or isinstance(answer, Refused) for answer in answers)
    login.close()


async def test_more_than_can_wait_are_turned_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postrider.accounts.login.WAITING", 4)
    login = Login(lambda: world.directory, world, Seeded(), world.sleep)
    names = [f"guess{n}@example.org" for n in range(9)]
    answers = await asyncio.gather(
        *(login.check(name, "guess", f"2001:db8:{n:x}::1") for n, name in enumerate(names)), return_exceptions=True
    )
    busy = [answer for answer in answers if isinstance(answer, Refused) and answer.reply == BUSY]
    assert len(busy) == 5
    login.close()
