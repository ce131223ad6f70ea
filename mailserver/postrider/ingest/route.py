"""Stage 4, route: recipients and the directory become deliveries. Pure: expands aliases, finds loops, drops doubles."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from postrider.accounts.directory import Directory, NotLocal, ToAlias, ToMailbox, Unknown
from postrider.contract.model import Mailbox
from postrider.model.address import Address, normal_domain
from postrider.model.envelope import Recipient
from postrider.model.reply import Reply

#: Aliases within each other, and addresses one recipient may become.
MAX_DEPTH = 10
MAX_TARGETS = 1000

#: Queue destinations: our own mailboxes by account, and the smarthost.
LOCAL = "local/"
RELAY = "relay"

NO_RELAY = Reply(550, "5.7.1", "Relaying denied")
UNKNOWN = Reply(550, "5.1.1", "No such mailbox here")
LOOP = Reply(554, "5.4.6", "The alias leads to itself or to too many addresses")
NOWHERE = Reply(550, "5.1.1", "The alias leads nowhere")


class Local(msgspec.Struct, frozen=True):
    """Into one of our mailboxes, on behalf of `recipient` as the sender wrote it."""

    mailbox: Mailbox
    recipient: Recipient


class Remote(msgspec.Struct, frozen=True):
    """To another server: `destination` is what the queue schedules by, the recipient's domain or RELAY."""

    destination: str
    recipient: Recipient


class Dead(msgspec.Struct, frozen=True):
    """Nowhere: the sender is to be told `reply`."""

    recipient: Recipient
    reply: Reply


class Routed(msgspec.Struct, frozen=True):
    """All deliveries of one message, each place once."""

    local: tuple[Local, ...]
    remote: tuple[Remote, ...]
    dead: tuple[Dead, ...]


def route(recipients: Iterable[Recipient], directory: Directory, *, may_relay: bool) -> Routed:
    """Where a message goes. Without `may_relay` only our own addresses (and what they stand for) may be named."""
    router = _Router(directory)
    for recipient in recipients:
        router.recipient(recipient, may_relay=may_relay)
    return Routed(tuple(router.local.values()), tuple(router.remote.values()), tuple(router.dead))


class _Router:
    """Collects deliveries; the keys of the two dicts are what makes deliveries the same."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._relay = directory.server.relay is not None
        self.local: dict[tuple[str, str], Local] = {}
        self.remote: dict[str, Remote] = {}
        self.dead: list[Dead] = []
        #: Ends of expansion reached, doubles included.
        self._landed = 0

    def recipient(self, recipient: Recipient, *, may_relay: bool) -> None:
        match self._directory.resolve(recipient.address):
            case ToMailbox(mailbox=mailbox):
                self._to_mailbox(mailbox, recipient)
            case ToAlias():
                self._alias(recipient)
            case Unknown():
                self.dead.append(Dead(recipient, UNKNOWN))
            case NotLocal():
                if may_relay:
                    self._to_remote(recipient)
                else:
                    self.dead.append(Dead(recipient, NO_RELAY))

    def _alias(self, recipient: Recipient) -> None:
        """Everything the alias stands for. RFC 3461 §5.2.7: the parameters of the recipient go to all of them."""
        before = self._landed
        seen: set[str] = set()
        doubles = False
        level = [recipient.address]
        for _ in range(MAX_DEPTH + 1):
            following: list[Address] = []
            for address in level:
                if address.key in seen:
                    doubles = True
                    continue
                seen.add(address.key)
                following += self._expand(address, recipient)
            if not following or len(seen) + len(following) > MAX_TARGETS:
                level = following
                break
            level = following
        if level:
            self.dead.append(Dead(recipient, LOOP))
        elif self._landed == before:
            self.dead.append(Dead(recipient, LOOP if doubles else NOWHERE))

    def _expand(self, address: Address, recipient: Recipient) -> tuple[Address, ...]:
        """The targets of an alias; other addresses become deliveries."""
        target = Recipient(address, recipient.notify, recipient.orcpt)
        match self._directory.resolve(address):
            case ToAlias(targets=targets):
                return targets
            case ToMailbox(mailbox=mailbox):
                self._to_mailbox(mailbox, target)
            case Unknown():
                self._landed += 1
                self.dead.append(Dead(target, UNKNOWN))
            case NotLocal():
                self._to_remote(target)
        return ()

    def _to_mailbox(self, mailbox: Mailbox, recipient: Recipient) -> None:
        self._landed += 1
        self.local.setdefault((mailbox.namespace, mailbox.address), Local(mailbox, recipient))

    def _to_remote(self, recipient: Recipient) -> None:
        self._landed += 1
        destination = RELAY if self._relay else normal_domain(recipient.address.domain)
        self.remote.setdefault(recipient.address.key, Remote(destination, recipient))
