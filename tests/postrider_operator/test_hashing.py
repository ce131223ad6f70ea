"""Verifiers are made once for a state of a Secret, and forgotten when nobody needs them."""

import asyncio

import pytest

from postrider.contract import passwords
from postrider_operator.hashing import Hashing
from postrider_operator.plan.secrets import Password

KEY = ("ns", "default")


class Told(list[tuple[tuple[str, str], float | None]]):
    """Notes who is told, and when to look."""

    def __call__(self, key: tuple[str, str], after: float | None = None) -> None:
        self.append((key, after))


@pytest.fixture
def told() -> Told:
    return Told()


async def test_few_passwords_are_waited_for(told: Told) -> None:
    hashing = Hashing(told)
    clear = Password("u1/1/password", "correct horse", generated=False)
    await hashing.make(KEY, [clear])
    (first,) = hashing.made(KEY).values()
    assert all(passwords.verify(verifier, "correct horse") for verifier in first)
    await hashing.make(KEY, [clear])
    assert hashing.made(KEY) == {"u1/1/password": first}  # no new salt for the same state
    hashing.close()


async def test_a_given_hash_is_taken_as_it_is(told: Told) -> None:
    hashing = Hashing(told)
    given = passwords.make("secret")[0]
    await hashing.make(KEY, [Password("u/1/password", given + "\n", generated=False)])
    assert hashing.made(KEY) == {"u/1/password": (given,)}
    hashing.close()


async def test_what_is_published_is_forgotten(told: Told) -> None:
    hashing = Hashing(told)
    await hashing.make(KEY, [Password("u/1/password", "x" * 32, generated=True)])
    await hashing.make(KEY, [])
    assert hashing.made(KEY) == {}
    hashing.close()


async def test_everybody_who_waits_for_a_password_is_told(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postrider_operator.hashing.FEW", 0)
    hashing = Hashing(told)
    shared = Password("u/1/password", "of two servers", generated=False)
    for key in (KEY, ("ns", "other")):
        await hashing.make(key, [shared])
    async with asyncio.timeout(60):
        while not hashing.made(KEY):
            await asyncio.sleep(0.01)
    assert sorted(key for key, _ in told) == [KEY, ("ns", "other")]
    hashing.close()


async def test_many_passwords_come_in_by_and_by(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postrider_operator.hashing.FEW", 3)
    hashing = Hashing(told)
    many = [Password(f"u{n}/1/password", f"password {n}", generated=False) for n in range(6)]
    await hashing.make(KEY, many)
    assert len(hashing.made(KEY)) < len(many)
    async with asyncio.timeout(60):
        while len(hashing.made(KEY)) < len(many):
            await asyncio.sleep(0.01)
    assert [key for key, _ in told] == [KEY] * len(many)
    assert told[0][1]  # while there are more, a plan need not hurry
    assert told[-1][1] is None
    hashing.close()
