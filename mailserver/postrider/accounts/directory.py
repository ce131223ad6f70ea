"""The snapshot as look-ups: which domains are ours, who takes an address, who may send as whom."""

from __future__ import annotations

import msgspec

from postrider.contract.model import Alias, Domain, Mailbox, Policy, Server, Snapshot
from postrider.contract.policy import Effective, effective
from postrider.contract.takers import Takers
from postrider.mailauth.dkim import SigningKey, signing_key
from postrider.model.address import Address, AddressError, normal_domain, parse_address
from postrider.store.values import Account, account_of


class ToMailbox(msgspec.Struct, frozen=True):
    """A mailbox takes it; `detail` is what stood behind the separator, as it was written."""

    mailbox: Mailbox
    detail: str = ""


class ToAlias(msgspec.Struct, frozen=True):
    """An alias takes it and stands for these; targets nobody has are left out while others remain."""

    alias: Alias
    targets: tuple[Address, ...]


class Unknown(msgspec.Struct, frozen=True):
    """The domain is ours, but nobody has the address."""


class NotLocal(msgspec.Struct, frozen=True):
    """Another server's domain, or no domain name at all."""


Resolved = ToMailbox | ToAlias | Unknown | NotLocal

#: Addresses whose takers are remembered: each is asked for at RCPT and once more when its message has come.
_REMEMBERED = 10_000


class Directory:
    """One generation of everything declared; immutable, made anew for each generation."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._takers = Takers(snapshot.server, snapshot.domains, snapshot.mailboxes, snapshot.aliases)
        self._rows = {(row.domain, row.selector): row for row in snapshot.keys}
        self._keys: dict[str, tuple[SigningKey, ...]] = {}
        self._secrets = {row.name: row.value for row in snapshot.secrets}
        self._resolved: dict[Address, Resolved] = {}
        self._policies: dict[Account, Effective] = {}

    @property
    def server(self) -> Server:
        """What the MailServer says."""
        return self.snapshot.server

    @property
    def generation(self) -> int:
        """Which generation this is."""
        return self.snapshot.generation

    def domain(self, name: str) -> Domain | None:
        """A domain of ours by its name, in U-labels or A-labels and any case."""
        found = self._takers.domains.get(name)
        if found is not None:
            return found
        try:
            return self._takers.domains.get(normal_domain(name))
        except AddressError:
            return None

    def is_local(self, domain: str) -> bool:
        """Whether we are responsible for a domain."""
        return self.domain(domain) is not None

    def resolve(self, address: Address) -> Resolved:
        """Who takes the mail of an address (contract.takers has the order)."""
        found = self._resolved.get(address)
        if found is None:
            found = self._resolve(address)
            if len(self._resolved) >= _REMEMBERED:  # a stranger may ask for any number of addresses
                self._resolved.clear()
            self._resolved[address] = found
        return found

    def _resolve(self, address: Address) -> Resolved:
        if not self.is_local(address.domain):
            return NotLocal()
        taken = self._takers.find(address)
        if taken is None:
            return Unknown()
        if isinstance(taken.row, Mailbox):
            return ToMailbox(taken.row, taken.detail)
        return ToAlias(taken.row, self._targets(taken.row))

    def mailbox(self, key: str) -> Mailbox | None:
        """The mailbox with exactly this address in normal form."""
        return self._takers.mailboxes.get(key)

    def account(self, mailbox: Mailbox) -> Account:
        """The store's side of a mailbox."""
        return account_of(mailbox.namespace, mailbox.address)

    def declared(self, account: Account) -> Mailbox | None:
        """The mailbox that an account of the store belongs to."""
        namespace, _, address = account.partition("/")
        mailbox = self.mailbox(address)
        return mailbox if mailbox is not None and mailbox.namespace == namespace else None

    def policy(self, mailbox: Mailbox) -> Effective:
        """How much mail a mailbox may hold and how long it is kept, as it, its domain and the server say together."""
        account = self.account(mailbox)
        found = self._policies.get(account)
        if found is None:
            found = self._policies[account] = effective(mailbox, *self._around(account))
        return found

    def policy_without(self, account: Account) -> Effective:
        """The same for an account whose mailbox is not declared any more: what its domain and the server say."""
        return effective(*self._around(account))

    def domain_key(self, mailbox: Mailbox) -> str:
        """What the store counts the mail of its whole domain under: "namespace/domain"."""
        return f"{mailbox.namespace}/{mailbox.address.rpartition('@')[2]}"

    def domain_quota(self, mailbox: Mailbox) -> int:
        """Bytes that all mailboxes of its domain may hold together; 0: unlimited."""
        home = self._takers.domains.get(mailbox.address.rpartition("@")[2])
        return home.quota_bytes if home else 0

    def may_send_as(self, login: str, address: Address) -> bool:
        """Whether the mailbox with the address `login` (normal form) may use `address` as a sender.

        It may with its own address, that with a detail, and that of every alias that leads to it.
        """
        seen: set[str] = set()
        waiting = [address]
        while waiting:
            match self.resolve(waiting.pop()):
                case ToMailbox(mailbox=mailbox) if mailbox.address == login:
                    return True
                case ToAlias(alias=alias, targets=targets) if alias.address not in seen:
                    seen.add(alias.address)
                    waiting += targets
        return False

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """The keys a domain signs with, in the order of its selectors; none for a domain without, or not ours."""
        row = self.domain(domain)
        if row is None:
            return ()
        if row.name not in self._keys:
            found = (self._rows.get((row.name, selector)) for selector in row.selectors)
            self._keys[row.name] = tuple(signing_key(key) for key in found if key is not None)
        return self._keys[row.name]

    def secret(self, name: str) -> str | None:
        """A named secret of the keys plane."""
        return self._secrets.get(name)

    def _around(self, account: Account) -> tuple[Policy, ...]:
        """What is said above a mailbox, the most specific first."""
        home = self._takers.domains.get(account.rpartition("@")[2])
        return (home.mailboxes, self.server.mailboxes) if home else (self.server.mailboxes,)

    def _targets(self, alias: Alias) -> tuple[Address, ...]:
        targets = tuple(parse_address(target) for target in alias.targets)  # contract.check has seen that they are
        known = tuple(target for target in targets if not self.is_local(target.domain) or self._takers.find(target))
        return known or targets
