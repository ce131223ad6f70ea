"""Transactions on what users own beside their mail: rights they gave, annotations, scripts, passwords, identities."""

from __future__ import annotations

from postrider.store.shape import Reason, StoreError, Txn
from postrider.store.values import Account, Value

#: Rights on one folder; annotations of one owner on one folder; things of one kind.
MAX_RIGHTS = 1000
MAX_ANNOTATIONS = 200
MAX_THINGS = 1000
#: Octets of an annotation's value, of a thing's, and of a name of either.
MAX_ANNOTATION = 64 * 1024
MAX_THING = 1024 * 1024
MAX_THING_NAME = 1000
#: The grantee that stands for all of them (RFC 4314 §2).
ANYONE = "anyone"


class SetRights(Txn, frozen=True):
    r"""What a grantee ("namespace/address" or "anyone") may do with a folder (RFC 4314 §2.1), "" for nothing.

    The letters are kept as they are given, each once, in order. Who has none any more, nor anyone, loses what was
    private there: \Seen and annotations. LIMIT above MAX_RIGHTS grantees. Result: Done.
    """

    account: Account
    mailbox_id: int
    grantee: str
    rights: str


class Annotate(Txn, frozen=True):
    """Set annotations of a folder, or of the account with mailbox_id 0, all or none (RFC 5464 §4.3). Result: Done.

    `owner` "" is shared by all who may see the folder, another is private to that user. Names of entries are case
    insensitive and kept in lower case. None removes. LIMIT above MAX_ANNOTATIONS entries or MAX_ANNOTATION octets.
    """

    account: Account
    mailbox_id: int
    owner: str
    entries: tuple[tuple[str, bytes | None], ...]


class PutThing(Txn, frozen=True):
    """Keep a thing under (kind, name); None removes it. Kinds are the callers' words: "sieve", "app-password" ...

    With `expected`, CONFLICT unless that is its modseq now (0: it is not there). LIMIT above MAX_THINGS of a kind or
    MAX_THING octets. Result: Put.
    """

    account: Account
    kind: str
    name: str
    value: bytes | None
    expected: int | None = None


class Put(Value, frozen=True):
    """The modseq of the change."""

    modseq: int


def grant(txn: SetRights) -> str:
    """The letters of a SetRights, each once, in order. Raises StoreError(INVALID)."""
    if not txn.grantee or _octets(txn.grantee) > MAX_THING_NAME:
        raise StoreError(Reason.INVALID, "who is to have the rights?")
    if not txn.rights.isascii() or (txn.rights and not txn.rights.isalnum()):  # RFC 4314 §2.1
        raise StoreError(Reason.INVALID, "rights are letters and digits")
    return "".join(sorted(set(txn.rights)))


def annotation(txn: Annotate) -> list[tuple[str, bytes | None]]:
    """The entries of an Annotate, names in lower case. Raises StoreError(INVALID, LIMIT)."""
    for entry, value in txn.entries:
        if not entry.startswith("/") or _octets(entry) > MAX_THING_NAME:
            raise StoreError(Reason.INVALID, "the name of an annotation begins with a slash")
        if value is not None and len(value) > MAX_ANNOTATION:
            raise StoreError(Reason.LIMIT, f"an annotation has at most {MAX_ANNOTATION} octets")
    return [(entry.lower(), value) for entry, value in txn.entries]


def thing(txn: PutThing) -> None:
    """Whether a PutThing may be. Raises StoreError(INVALID, LIMIT)."""
    if not txn.kind or "/" in txn.kind or _octets(txn.kind) > MAX_THING_NAME:
        raise StoreError(Reason.INVALID, "a kind is a word without slashes")
    if not txn.name or _octets(txn.name) > MAX_THING_NAME:
        raise StoreError(Reason.INVALID, f"a name has 1 to {MAX_THING_NAME} octets")
    if txn.value is not None and len(txn.value) > MAX_THING:
        raise StoreError(Reason.LIMIT, f"it has at most {MAX_THING} octets")


def _octets(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise StoreError(Reason.INVALID, "a name is not Unicode text") from None
