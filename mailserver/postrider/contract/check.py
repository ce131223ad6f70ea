"""What is wrong with a snapshot, object by object; used by the operator before it publishes and by the server after.

Pure. `without` leaves out the objects that cannot serve, so that one bad object never stops the others:
`check(without(s, check(s)))` finds nothing more to leave out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from postrider.contract import dkim, passwords, policy, storage, tls
from postrider.contract.model import (
    STORAGE_KEY,
    Alias,
    Certificate,
    DkimKey,
    Domain,
    Mailbox,
    NamedSecret,
    Policy,
    Server,
    Snapshot,
)
from postrider.contract.takers import CATCH_ALL, Takers, claim_order, loops
from postrider.model.address import AddressError, own_domain, parse_address

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a row."""

    #: A condition's reason, CamelCase.
    reason: str
    #: What is wrong, without secrets.
    message: str
    #: What the object's owner can do about it.
    action: str
    #: False for a warning: the object serves all the same.
    drops: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding with the object it is about."""

    #: MailServer, MailDomain, Mailbox, Alias, DkimKey, Certificate or Secret.
    kind: str
    namespace: str
    #: metadata.name of the object where the row knows it, else the same as `address`.
    name: str
    #: What the object is for: an address, a domain, selector._domainkey.domain, a host name.
    address: str
    reason: str
    message: str
    action: str
    drops: bool
    #: The row's position among those of its kind in the snapshot that was checked.
    row: int


#: Position of a row, and what was found.
_Found = Iterator[tuple[int, Finding]]


def check(snapshot: Snapshot) -> tuple[Problem, ...]:
    """All problems, in the order server, domains, mailboxes, aliases, keys, certificates, secrets."""
    domains = list(_domains(snapshot))
    bad = {at for at, finding in domains if finding.drops}
    served = tuple(domain for at, domain in enumerate(snapshot.domains) if at not in bad)
    names = frozenset(domain.name for domain in served)
    mailboxes, aliases = _addresses(snapshot, names, served)
    found: Mapping[str, Iterable[tuple[int, Finding]]] = {
        "MailServer": _server(snapshot),
        "MailDomain": domains,
        "Mailbox": mailboxes,
        "Alias": aliases,
        "DkimKey": _keys(snapshot.keys, names),
        "Certificate": _certificates(snapshot.certificates),
        "Secret": _twice(snapshot.secrets, lambda row: row.name),
    }
    return tuple(
        _problem(kind, _rows(snapshot, kind)[at], at, finding)
        for kind, findings in found.items()
        for at, finding in sorted(findings, key=lambda pair: pair[0])
    )


def without(snapshot: Snapshot, problems: Iterable[Problem]) -> Snapshot:
    """The checked snapshot less the rows of these problems; warnings and the server's own row stay."""
    gone = {(problem.kind, problem.row) for problem in problems if problem.drops}

    def kept(kind: str, rows: Sequence[_R]) -> tuple[_R, ...]:
        return tuple(row for at, row in enumerate(rows) if (kind, at) not in gone)

    return msgspec.structs.replace(
        snapshot,
        domains=kept("MailDomain", snapshot.domains),
        mailboxes=kept("Mailbox", snapshot.mailboxes),
        aliases=kept("Alias", snapshot.aliases),
        keys=kept("DkimKey", snapshot.keys),
        certificates=kept("Certificate", snapshot.certificates),
        secrets=kept("Secret", snapshot.secrets),
    )


def _server(snapshot: Snapshot) -> _Found:
    """Only a server without a name cannot serve at all: what else is wrong here must not stop the others."""
    server = snapshot.server
    if wrong := _domain_fault(server.hostname):
        yield 0, Finding("InvalidHostname", wrong, "Set spec.hostname to the name the server has in DNS.")
    if server.postmaster and (wrong := _address_fault(server.postmaster)):
        action = "Set spec.postmaster to a mail address or leave it out."
        yield 0, Finding("InvalidAddress", wrong, action, drops=False)
    for network in server.proxy_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield 0, Finding("InvalidNetwork", str(error), "Write networks as in 10.0.0.0/8.", drops=False)
    yield from ((0, finding) for finding in _policy(server.mailboxes, drops=False))
    secrets = {row.name: row.value for row in snapshot.secrets}
    for id_ in server.storage.encryption_keys:
        if fault := storage.fault(secrets.get(STORAGE_KEY + id_)):
            message = f"the key {id_!r} of the store {fault}"
            yield 0, Finding("BadStorageKey", message, storage.REMEDY, drops=False)
    if server.storage.encryption_keys and server.storage.blobs == "maildir":
        message = "mail in files for other programs cannot be encrypted"
        yield 0, Finding("MaildirEncrypted", message, "Take one out: storage.encryption or storage.blobs.", drops=False)
    relay = server.relay
    if relay is not None and relay.password_key and relay.password_key not in secrets:
        message = f"the relay's password {relay.password_key!r} is not there"
        yield 0, Finding("SecretMissing", message, "Create the Secret the relay refers to.", drops=False)


def _domains(snapshot: Snapshot) -> _Found:
    rows = snapshot.domains
    keys = {(key.domain, key.selector) for key in snapshot.keys}
    valid = []
    for at, row in enumerate(rows):
        if wrong := _domain_fault(row.name):
            yield at, Finding("InvalidDomain", wrong, "Use a domain name such as example.org.")
            continue
        valid.append((at, row))
        separator = row.subaddress_separator
        if separator and (len(separator) != 1 or separator not in "+-_=.#~"):
            message = f"{separator!r} cannot separate a user from a detail"
            yield at, Finding("InvalidSeparator", message, 'Use one of + - _ = . # ~, or "" for none.')
        if missing := [selector for selector in row.selectors if (row.name, selector) not in keys]:
            message = f"no key for the selector {_listed(missing)}: mail is not signed with it"
            yield at, Finding("KeyMissing", message, "Create the DkimKey, or restore its Secret.", drops=False)
        yield from ((at, finding) for finding in _policy(row.mailboxes))
        if row.quota_bytes < 0:
            yield at, Finding("InvalidQuota", f"a quota of {row.quota_bytes} bytes", "Set a quota of 0 (none) or more.")
    for at, winner in _losers([(at, row.name, row) for at, row in valid]):
        yield at, _conflict(rows[at].name, "MailDomain", winner)


def _addresses(
    snapshot: Snapshot, names: Collection[str], served: Sequence[Domain]
) -> tuple[list[tuple[int, Finding]], list[tuple[int, Finding]]]:
    """Findings of mailboxes and of aliases, which compete for addresses."""
    mailboxes = [(at, f) for at, row in enumerate(snapshot.mailboxes) for f in _mailbox(row, names)]
    aliases = [(at, f) for at, row in enumerate(snapshot.aliases) for f in _alias(row, names)]
    of_mailbox, of_alias = _claims(snapshot, mailboxes, aliases)
    mailboxes += of_mailbox
    aliases += of_alias
    lost = {at for at, finding in mailboxes if finding.drops}
    serving = [row for at, row in enumerate(snapshot.mailboxes) if at not in lost]
    aliases += _targets(snapshot, served, serving, {at for at, finding in aliases if finding.drops})
    return mailboxes, aliases


def _mailbox(row: Mailbox, names: Collection[str]) -> Iterator[Finding]:
    yield from _own_address(row.address, names)
    for verifier in row.verifiers:
        if wrong := passwords.problem(verifier):
            yield Finding(
                "InvalidPassword", f"the password is {wrong}", "Store a password, or a hash of a known scheme."
            )
    yield from _policy(row)


def _policy(row: Policy, *, drops: bool = True) -> Iterator[Finding]:
    return (Finding(*fault, drops=drops) for fault in policy.faults(row))


def _alias(row: Alias, names: Collection[str]) -> Iterator[Finding]:
    local, _, domain = row.address.rpartition("@")
    if local == CATCH_ALL:
        yield from _own_domain(domain, names)
    else:
        yield from _own_address(row.address, names)
    if not row.targets:
        yield Finding("NoTarget", "the alias stands for nobody", "List at least one address in spec.targets.")
    for target in row.targets:
        wrong = _address_fault(target)
        if wrong or target.startswith(f"{CATCH_ALL}@"):
            yield Finding("InvalidTarget", wrong or f"{target!r} is not one address", "Correct spec.targets.")


def _claims(
    snapshot: Snapshot, mailboxes: Sequence[tuple[int, Finding]], aliases: Sequence[tuple[int, Finding]]
) -> tuple[list[tuple[int, Finding]], list[tuple[int, Finding]]]:
    """Who comes too late; a row without a usable address claims nothing."""
    no_mailbox = {at for at, finding in mailboxes if finding.reason in _NO_CLAIM}
    no_alias = {at for at, finding in aliases if finding.reason in _NO_CLAIM}
    claims: list[tuple[tuple[str, int], str, Mailbox | Alias]] = []
    claims += [(("Mailbox", at), m.address, m) for at, m in enumerate(snapshot.mailboxes) if at not in no_mailbox]
    claims += [(("Alias", at), a.address, a) for at, a in enumerate(snapshot.aliases) if at not in no_alias]
    late: dict[str, list[tuple[int, Finding]]] = {"Mailbox": [], "Alias": []}
    for (kind, at), winner in _losers(claims):
        of = "Mailbox" if isinstance(winner, Mailbox) else "Alias"
        late[kind].append((at, _conflict(winner.address, of, winner)))
    return late["Mailbox"], late["Alias"]


def _targets(snapshot: Snapshot, served: Sequence[Domain], serving: Sequence[Mailbox], lost: Collection[int]) -> _Found:
    """Aliases that loop or lead nowhere; what goes may take others with it, so until nothing changes."""
    alive = {at: row for at, row in enumerate(snapshot.aliases) if at not in lost}
    while True:
        takers = Takers(snapshot.server, served, serving, alive.values())
        looping = loops(takers)
        findings = [(at, f) for at, row in alive.items() if (f := _leads(row, takers, looping)) is not None]
        yield from ((at, finding) for at, finding in findings if finding.drops)
        if not any(finding.drops for _, finding in findings):
            yield from findings
            return
        for at, finding in findings:
            if finding.drops:
                del alive[at]


def _leads(row: Alias, takers: Takers, looping: Collection[str]) -> Finding | None:
    if row.address in looping:
        message = f"{row.address} stands, through {_listed(row.targets)}, for itself"
        return Finding("AliasLoop", message, "Take the target that leads back out of spec.targets.")
    unknown = [target for target in row.targets if takers.is_local(target) and takers.find_text(target) is None]
    if not unknown:
        return None
    message = f"nobody has the address {_listed(unknown)}"
    action = "Create the Mailbox, or take the target out of spec.targets."
    return Finding("UnknownTarget", message, action, drops=len(unknown) == len(row.targets))


def _keys(rows: Sequence[DkimKey], names: Collection[str]) -> _Found:
    for at, row in enumerate(rows):
        yield from ((at, finding) for finding in _own_domain(row.domain, names))
        if not dkim.is_selector(row.selector):
            message = f"{row.selector!r} is not a selector (RFC 6376 §3.1)"
            yield at, Finding("InvalidSelector", message, "Use letters, digits and hyphens.")
        try:
            algorithm = dkim.algorithm_of(dkim.load(row.pem))
        except dkim.BadKey as error:
            yield at, Finding("BadKey", f"the key is {error}", "Replace the key in its Secret, or delete the Secret.")
            continue
        if algorithm != row.algorithm:
            message = f"spec.algorithm is {row.algorithm}, the key is {algorithm}"
            yield at, Finding("BadKey", message, "Make a new DkimKey for the other algorithm.")
    yield from _twice(rows, lambda row: (row.domain, row.selector))


def _certificates(rows: Sequence[Certificate]) -> _Found:
    for at, row in enumerate(rows):
        try:
            tls.check_pair(row.chain, row.key)
        except tls.BadCertificate as error:
            yield at, Finding("BadCertificate", str(error), "Replace tls.crt and tls.key in the Secret.")


def _twice(rows: Sequence[_R], key: Callable[[_R], Hashable]) -> _Found:
    seen = set()
    for at, row in enumerate(rows):
        if key(row) in seen:
            yield at, Finding("Conflict", "there are two of that name", "Delete one of them.")
        seen.add(key(row))


#: With one of these a row has no address it could claim.
_NO_CLAIM = frozenset({"InvalidAddress", "InvalidDomain", "UnknownDomain"})


def _own_address(address: str, names: Collection[str]) -> Iterator[Finding]:
    """An address of ours must be in its normal form, for that is what look-ups use."""
    if wrong := _address_fault(address):
        yield Finding("InvalidAddress", wrong, "Correct spec.address.")
        return
    normal = parse_address(address).key
    if normal != address:
        yield Finding("InvalidAddress", f"{address!r} is not in its normal form {normal!r}", f"Write {normal}.")
        return
    yield from _own_domain(address.rpartition("@")[2], names)


def _own_domain(domain: str, names: Collection[str]) -> Iterator[Finding]:
    if wrong := _domain_fault(domain):
        yield Finding("InvalidDomain", wrong, "Use a domain name such as example.org.")
    elif domain not in names:
        yield Finding("UnknownDomain", f"no MailDomain for {domain}", f"Create a MailDomain for {domain}.")


def _domain_fault(name: str) -> str:
    try:
        normal = own_domain(name)
    except AddressError as error:
        return str(error)
    return "" if normal == name else f"{name!r} is not in its normal form {normal!r}"


def _address_fault(text: str) -> str:
    try:
        parse_address(text)
    except AddressError as error:
        return str(error)
    return ""


_C = TypeVar("_C", bound=Hashable)
_Claimant = TypeVar("_Claimant", bound=Domain | Mailbox | Alias)


def _losers(claims: Iterable[tuple[_C, str, _Claimant]]) -> Iterator[tuple[_C, _Claimant]]:
    """Every claim that comes too late, with the row that came first."""
    winners: dict[str, _Claimant] = {}
    for claim, what, row in sorted(claims, key=lambda claim: claim_order(claim[2])):
        if what in winners:
            yield claim, winners[what]
        winners.setdefault(what, row)


def _conflict(what: str, kind: str, winner: Domain | Mailbox | Alias) -> Finding:
    holder = f"{kind} {winner.namespace}/{winner.resource or what}"
    return Finding("Conflict", f"{what} was claimed first by {holder}", f"Use another name, or delete {holder}.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _rows(snapshot: Snapshot, kind: str) -> Sequence[object]:
    rows: Mapping[str, Sequence[object]] = {
        "MailServer": (snapshot.server,),
        "MailDomain": snapshot.domains,
        "Mailbox": snapshot.mailboxes,
        "Alias": snapshot.aliases,
        "DkimKey": snapshot.keys,
        "Certificate": snapshot.certificates,
        "Secret": snapshot.secrets,
    }
    return rows[kind]


def _problem(kind: str, row: object, at: int, finding: Finding) -> Problem:
    address = _address(row)
    return Problem(
        kind=kind,
        namespace=getattr(row, "namespace", ""),
        name=(row.name if isinstance(row, Server) else getattr(row, "resource", "")) or address,
        address=address,
        reason=finding.reason,
        message=finding.message,
        action=finding.action,
        drops=finding.drops,
        row=at,
    )


def _address(row: object) -> str:
    match row:
        case Server():
            return row.hostname
        case Mailbox() | Alias():
            return row.address
        case DkimKey():
            return dkim.record_name(row.selector, row.domain)
        case Certificate():
            return row.names[0] if row.names else ""
        case Domain() | NamedSecret():
            return row.name
    raise TypeError(f"no row of a snapshot: {type(row).__name__}")
