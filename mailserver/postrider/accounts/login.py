"""Checks logins: slow hashes in threads, a cache of successes, delays for who keeps failing, no hint who exists."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from postrider.accounts.delays import Allowance, Delays
from postrider.accounts.directory import Directory
from postrider.contract import passwords
from postrider.contract.model import Mailbox
from postrider.model.address import AddressError, parse_address
from postrider.model.network import network_of
from postrider.model.ports import Clock, Random
from postrider.model.reply import Refused, Reply

#: A refusal is never answered sooner (seconds), so that it tells nothing about which hash was computed, or whether.
REFUSAL_SECONDS = 0.25
#: A try that would have to wait longer (seconds) is turned away.
LONGEST_WAIT = 10.0
#: Hashes at once, and tries waiting for them; more are turned away rather than kept.
WORKERS = 2
WAITING = 64
#: Successes remembered; the one not used for longest is forgotten first.
CACHED = 20_000
#: Tries at once from one network; each listener has its own limit of connections besides.
ABREAST_PER_NETWORK = 100

# RFC 4954 §6 has 454 4.7.0 for a temporary failure to authenticate.
TOO_MANY_FAILURES = Reply(454, "4.7.0", "Too many failed logins, try again later")
BUSY = Reply(454, "4.7.0", "Too many logins at this moment, try again later")

#: Characters of a login that is no address, where it counts its failures.
_SHOWN = 80

_K = TypeVar("_K", bound=Hashable)
Sleep = Callable[[float], Awaitable[None]]


class Login:
    """The one place where passwords are checked. Holds no password, only keyed digests of those that fitted."""

    def __init__(
        self, directory: Callable[[], Directory], clock: Clock, random: Random, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._sleep = sleep
        self._secret = random.token(32)
        #: Digest of verifiers and password; a changed verifier never finds an old success.
        self._cache: OrderedDict[bytes, None] = OrderedDict()
        #: Login and network of those.
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._delays = Delays()
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="password")
        self._waiting = 0
        #: What is computed for those who have nothing to compute: as much as for a password we hashed.
        self._nobody = passwords.make(passwords.generate_password(random.token), token=random.token)

    async def check(self, login: str, password: str, ip: str) -> Mailbox | None:
        """The mailbox that logged in, None when login and password do not fit; which of them is never told.

        Raises Refused (454 4.7.0) when this client or this login failed too often, or too many are waiting.
        """
        began = self._clock.monotonic()
        key = _key(login)
        mailbox, verifiers = self._lookup(key)
        proof = self._proof(verifiers, password)
        if mailbox is not None and verifiers and proof in self._cache:
            self._cache.move_to_end(proof)
            return mailbox
        network = network_of(ip)
        places = self._places(key or login[:_SHOWN], network)
        if await self._queue(places, began):
            mailbox, verifiers = self._lookup(key)  # time has passed: it may have gone, or its password changed
            proof = self._proof(verifiers, password)
        failed = False
        try:
            fits = await self._fits(verifiers, password)
            failed = not fits
        finally:
            for place in places:
                self._delays.end(place, self._clock.monotonic(), failed=failed)
        if mailbox is not None and fits:
            _keep(self._cache, proof)
            _keep(self._known, (key, network))
            self._delays.forgive(places[0])
            return mailbox
        await self._sleep(max(0.0, began + REFUSAL_SECONDS - self._clock.monotonic()))
        return None

    def close(self) -> None:
        """End the threads; logins under way are finished."""
        self._threads.shutdown()

    def _lookup(self, key: str) -> tuple[Mailbox | None, tuple[str, ...]]:
        mailbox = self._directory().mailbox(key)
        return mailbox, mailbox.verifiers if mailbox is not None else ()

    def _places(self, login: str, network: str) -> tuple[str, str]:
        """What a try counts against: the login, and the network it comes from.

        A network from which this login succeeded before has an account of its own: strangers who fail elsewhere
        cannot lock its user out.
        """
        known = (login, network) in self._known
        return (f"login {login} from {network}" if known else f"login {login}", f"network {network}")

    async def _queue(self, places: tuple[str, str], now: float) -> bool:
        """Wait for the turn of both the login and the network; whether that took time. Raises Refused."""
        failures = self._directory().server.limits.login_failures
        allowances = (Allowance(failures, failures), Allowance(failures, ABREAST_PER_NETWORK))
        pairs = tuple(zip(places, allowances, strict=True))
        seconds = max(self._delays.wait(place, now, allowance) for place, allowance in pairs)
        if seconds > LONGEST_WAIT:
            raise Refused(TOO_MANY_FAILURES)
        for place, allowance in pairs:
            self._delays.begin(place, now, allowance)
        if seconds:
            try:
                await self._sleep(seconds)
            except asyncio.CancelledError:
                for place in places:
                    self._delays.end(place, now, failed=False)
                raise
        return bool(seconds)

    async def _fits(self, verifiers: tuple[str, ...], password: str) -> bool:
        fast = tuple(verifier for verifier in verifiers if passwords.is_fast(verifier))
        if _any_fits(fast, password):
            return True
        slow = tuple(verifier for verifier in verifiers if not passwords.is_fast(verifier))
        return await self._hash(slow or self._nobody, password) and bool(slow)

    async def _hash(self, verifiers: tuple[str, ...], password: str) -> bool:
        if self._waiting >= WAITING:
            raise Refused(BUSY)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, _any_fits, verifiers, password)
        finally:
            self._waiting -= 1

    def _proof(self, verifiers: tuple[str, ...], password: str) -> bytes:
        # Lengths in front: no two pairs of verifiers and password make the same text.
        parts = [part.encode("utf-8", "surrogatepass") for part in (*verifiers, password)]
        text = b"".join(b"%d:%s" % (len(part), part) for part in parts)
        return hmac.digest(self._secret, text, "sha256")


def _any_fits(verifiers: tuple[str, ...], password: str) -> bool:
    return any(passwords.verify(verifier, password) for verifier in verifiers)


def _keep(cache: OrderedDict[_K, None], key: _K) -> None:
    cache[key] = None
    cache.move_to_end(key)
    while len(cache) > CACHED:
        cache.popitem(last=False)


def _key(login: str) -> str:
    """A login's normal form; what is no address is nobody's."""
    try:
        return parse_address(login).key
    except AddressError:
        return ""
