"""What an IMAP client asked for: one frozen value a command. The engine hands them out; the session answers each."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from postrider.protocols.imap.grammar import SequenceSet
from postrider.protocols.imap.search import Key


@dataclass(frozen=True, slots=True)
class Credentials:
    """LOGIN or AUTHENTICATE gave these. Answer with `login`."""

    mechanism: str
    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT or EXAMINE (RFC 9051 §6.3.2), with RFC 7162's parameters."""

    mailbox: str
    read_only: bool
    condstore: bool = False
    qresync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Resync:
    """What the client knows of the mailbox (RFC 7162 §3.2.5)."""

    uidvalidity: int
    modseq: int
    known: SequenceSet = None


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE (RFC 9051 §6.3.4) with RFC 6154's USE, "" without."""

    mailbox: str
    special_use: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE (RFC 9051 §6.3.5)."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME (RFC 9051 §6.3.6)."""

    mailbox: str
    name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7)."""

    mailbox: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class List:
    """LIST (RFC 9051 §6.3.9) with all its options, and LSUB (RFC 3501 §6.3.9)."""

    reference: str
    patterns: tuple[str, ...]
    select: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    #: Items of RETURN (STATUS (...)) (RFC 5819).
    status: tuple[str, ...] = ()
    lsub: bool = False
    #: Not the original form: an empty pattern does not ask for the separator.
    extended: bool = False

    @property
    def wildcards(self) -> int:
        """How many there are in all patterns, each of which begins with the reference."""
        return sum((self.reference + pattern).count(sign) for pattern in self.patterns for sign in "*%")


@dataclass(frozen=True, slots=True)
class Namespace:
    """NAMESPACE (RFC 9051 §6.3.10)."""


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS (RFC 9051 §6.3.11)."""

    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """A message of an APPEND is about to come (RFC 9051 §6.3.12, RFC 3502).

    Answer with `accept_literal` or a tagged NO. `received` is seconds since the epoch, None for now.
    """

    mailbox: str
    flags: int
    keywords: tuple[str, ...]
    received: int | None
    size: int


@dataclass(frozen=True, slots=True)
class AppendChunk:
    """Octets of the message. Nothing to answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """All messages of this APPEND are here: store them, then answer."""


@dataclass(frozen=True, slots=True)
class AppendAborted:
    """The rest of the command was wrong; the engine has said so. Drop what was collected."""


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP and CHECK: tell what is new (RFC 9051 §6.1.2)."""


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE expunges silently, UNSELECT does not (RFC 9051 §6.4.1, §6.4.2)."""

    expunge: bool


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE, or UID EXPUNGE of a set (RFC 9051 §6.4.3, §6.4.9)."""

    uids: SequenceSet = None
    by_uid: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH and UID SEARCH (RFC 9051 §6.4.4). `returns` None: the untagged SEARCH of RFC 3501."""

    key: Key
    by_uid: bool
    returns: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH and UID FETCH (RFC 9051 §6.4.5)."""

    messages: SequenceSet
    by_uid: bool
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False


class StoreWay(enum.Enum):
    """FLAGS, +FLAGS, -FLAGS."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Store:
    """STORE and UID STORE (RFC 9051 §6.4.6)."""

    messages: SequenceSet
    by_uid: bool
    way: StoreWay
    flags: int
    keywords: tuple[str, ...] = ()
    silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY and MOVE, and their UID forms (RFC 9051 §6.4.7, §6.4.8)."""

    messages: SequenceSet
    by_uid: bool
    mailbox: str
    move: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """IDLE has begun (RFC 9051 §6.3.13): tell news with `untagged` as it comes. Nothing to answer yet."""


@dataclass(frozen=True, slots=True)
class IdleDone:
    """The client said DONE: answer the IDLE."""


@dataclass(frozen=True, slots=True)
class Section:
    """BODY[...], BODY.PEEK[...], BINARY[...] and the RFC822 forms (RFC 9051 §6.4.5.1)."""

    #: What stands in front of the data in the response, e.g. b"BODY[HEADER.FIELDS (From)]<0>".
    label: bytes
    part: tuple[int, ...] = ()
    #: "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME.
    text: str = ""
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None
    peek: bool = False
    #: BINARY: the transfer encoding is removed (RFC 9051 §6.4.5.1).
    binary: bool = False
    #: BINARY.SIZE: only the number of decoded octets.
    size_only: bool = False


#: FLAGS, UID, INTERNALDATE, RFC822.SIZE, ENVELOPE, BODY, BODYSTRUCTURE, MODSEQ, EMAILID, THREADID, SAVEDATE, PREVIEW,
#: or a section.
FetchItem = str | Section

Command = (
    Select | Create | Delete | Rename | Subscribe | List | Namespace | Status | Noop | Close | Expunge | Search | Fetch
    | Store | Copy
)  # fmt: skip
