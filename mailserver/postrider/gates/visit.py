"""What gates see of a conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from postrider.accounts.directory import Directory
from postrider.accounts.room import Room
from postrider.model.address import Address
from postrider.model.envelope import Peer


class Visit(msgspec.Struct, frozen=True):
    """Who is there and what is asked for. `address` is the sender or the recipient, by the phase."""

    peer: Peer
    directory: Directory
    #: Mail of our users, who have logged in; else mail from the world.
    submission: bool
    #: None in the connection phase, and for the null reverse-path.
    address: Address | None
    #: Whether an address in normal form, which nobody has, was served a short time ago (accounts.vanished).
    recently: Callable[[str], Awaitable[bool]]
    room: Room
    #: Octets that MAIL announced (RFC 1870 §6); 0 where it said nothing.
    size: int = 0
