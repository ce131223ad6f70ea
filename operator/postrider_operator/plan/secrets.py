"""Passwords: which Secrets hold them, which are still to be generated, and the verifiers in use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from postrider.contract import passwords
from postrider.contract.model import Mailbox as Row
from postrider.contract.model import NamedSecret
from postrider_operator.kinds import Mailbox
from postrider_operator.plan import children, names
from postrider_operator.plan.claims import Settled
from postrider_operator.plan.desired import Apply, Generate, PasswordMaterial
from postrider_operator.plan.findings import Finding, Findings, busy
from postrider_operator.plan.mine import Mine, mine, ref
from postrider_operator.world import Ref, Secret, World

#: Row of the keys plane that holds the relay's password.
RELAY = "relay"
#: What contract.passwords.generate_password makes.
_GENERATED = re.compile(r"[0-9a-hjkmnp-tv-z]{32}")


@dataclass(frozen=True, slots=True)
class Password:
    """A password as a Secret has it."""

    #: "uid/resourceVersion/key"
    source: str
    text: str = field(repr=False)
    #: Made by us, with 160 random bits.
    generated: bool


@dataclass(frozen=True, slots=True)
class Login:
    """A mailbox's verifiers and what they were made from."""

    source: str
    verifiers: tuple[str, ...] = field(repr=False)


def secret_name(mailbox: Mailbox) -> str:
    """The Secret that holds, or will hold, a mailbox's password."""
    given = mailbox.spec.password_secret_ref
    return given.name if given else names.password(mailbox.metadata.name)


def unhashed(world: World) -> tuple[Password, ...]:
    """Passwords whose verifiers neither the last snapshot nor the World has: the edge makes them before it plans.

    Those of this server's mailboxes alone: others are in no snapshot of it, and would be hashed at every start.
    """
    if world.server is None or world.server.deleting:
        return ()
    known = {row.password_source for row in world.previous.mailboxes} if world.previous else set()
    mailboxes = (mailbox for _, mailbox in mine(world, Findings()).mailboxes)
    found = {p.source: p for m in mailboxes if isinstance(p := _password(world, m), Password)}
    return tuple(p for source, p in found.items() if source not in known and source not in world.verifiers)


def login(world: World, mailbox: Mailbox, last: Row | None) -> Login | Finding:
    """A mailbox's verifiers, or why there are none; `last` is its row in the last snapshot."""
    password = _password(world, mailbox)
    if isinstance(password, Finding):
        return password
    if last is not None and last.password_source == password.source:
        return Login(password.source, last.verifiers)
    verifiers = world.verifiers.get(password.source)
    if verifiers is None:
        return busy("the password is being hashed")
    return Login(password.source, verifiers)


def generate(world: World, mine: Mine, settled: Settled, findings: Findings) -> tuple[list[Generate], list[Apply]]:
    """Secrets of generated passwords that are missing, and those whose owner changes."""
    generates: list[Generate] = []
    applies: list[Apply] = []
    taken = children.taken(world)
    present = {c.ref: c for c in world.children if c.ref.kind == "Secret"}
    host = world.server.spec.hostname if world.server else ""
    for address, mailbox in mine.mailboxes:
        if mailbox.spec.password_secret_ref or settled.winner[address] != ("Mailbox", mailbox.metadata.name, address):
            continue
        at = Ref("Secret", world.namespace, secret_name(mailbox))
        owner = mailbox if mailbox.spec.deletion_policy == "Delete" else None
        if at in taken:
            findings.add(ref(mailbox), name_taken(at))
        elif at in present:
            applies += [a] if (a := children.ownership(at, present[at], owner)) else []
        elif at.name not in world.secrets and at.name not in world.unreadable:
            body = children.generated(at, world.name, "password", None, type="kubernetes.io/basic-auth")
            generates.append(Generate(at, body, PasswordMaterial(address, host)))
    return generates, applies


def relay(world: World, findings: Findings) -> tuple[NamedSecret, ...]:
    """The relay's password as a row; the last good one while its Secret cannot be read."""
    server = world.server
    if server is None or server.spec.relay is None or not server.spec.relay.username:
        return ()
    given = server.spec.relay.password_secret_ref
    found = text(world, given.name, given.key) if given else Finding("SecretMissing", "the relay has no password")
    if isinstance(found, Finding):
        findings.add(ref(server), found)
        return tuple(row for row in (world.previous.secrets if world.previous else ()) if row.name == RELAY)
    return (NamedSecret(name=RELAY, value=found[1]),)


def entry(world: World, name: str, key: str) -> tuple[Secret, bytes] | Finding:
    """An entry of a Secret, or why it cannot be had."""
    if name in world.unreadable:
        return Finding(
            "SecretUnreadable", f"Secret {name} cannot be read: {world.unreadable[name]}", "It is tried again.", True
        )
    secret = world.secrets.get(name)
    if secret is None:
        return Finding("SecretNotFound", f"there is no Secret {name}", f"Create it with the key {key}.", waits=True)
    if key not in secret.data:
        keys = ", ".join(sorted(secret.data)) or "none"
        return Finding("SecretKeyNotFound", f"Secret {name} has no key {key} (it has {keys})", f"Add the key {key}.")
    return secret, secret.data[key]


def text(world: World, name: str, key: str) -> tuple[Secret, str] | Finding:
    """An entry of a Secret as text, without the line end that editors leave; or why it cannot be had."""
    found = entry(world, name, key)
    if isinstance(found, Finding):
        return found
    secret, data = found
    try:
        value = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return Finding("SecretUnreadable", f"key {key} of Secret {name} is not UTF-8 text", "Store text.")
    if not value:
        return Finding("SecretEmpty", f"key {key} of Secret {name} is empty", "Store a value.")
    return secret, value


def wanted(world: World) -> Iterable[str]:
    """Names of the Secrets passwords are in."""
    yield from (secret_name(mailbox) for mailbox in world.mailboxes)
    relay_ = world.server.spec.relay if world.server else None
    if relay_ and relay_.password_secret_ref:
        yield relay_.password_secret_ref.name


def name_taken(at: Ref) -> Finding:
    """The finding for a name that somebody else's object has."""
    return Finding(
        "NameTaken", f"{at.kind} {at.name} exists and was not made by the operator", f"Rename or delete that {at.kind}."
    )


def _password(world: World, mailbox: Mailbox) -> Password | Finding:
    given = mailbox.spec.password_secret_ref
    key = given.key if given else "password"
    name = secret_name(mailbox)
    if given is None and name not in world.secrets and name not in world.unreadable:
        return busy("the password is being generated")
    found = text(world, name, key)
    if isinstance(found, Finding):
        return found
    secret, value = found
    if len(value) > passwords.MAX_PASSWORD and not passwords.is_hash(value):
        message = f"key {key} of Secret {name} has {len(value)} characters"
        return Finding("InvalidPassword", message, f"Store a password of at most {passwords.MAX_PASSWORD}.")
    ours = given is None and names.is_ours(secret.labels) and bool(_GENERATED.fullmatch(value))
    return Password(f"{secret.uid}/{secret.version}/{key}", value, generated=ours)
