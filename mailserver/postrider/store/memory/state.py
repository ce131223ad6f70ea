"""What a store holds, as plain objects. Counters are counted, not kept: nothing here can disagree with itself."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from postrider.store import names
from postrider.store.staged import LAST_UID, no_uids
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import (
    Account,
    Blob,
    Body,
    ExpungedRow,
    Flag,
    MailboxRow,
    MessageRow,
    OtherChange,
    QueueRow,
    Vanished,
)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Held:
    """The bytes of one body; gone when no message and no queue row holds it."""

    blob: Blob
    data: bytes


@dataclass(slots=True)
class Message:
    """One message in one folder."""

    uid: int
    modseq: int
    flags: int
    keywords: tuple[str, ...]
    email_id: int
    thread_id: int
    received: int
    saved: int
    prefix: bytes
    held: Held
    cached: bytes
    #: Modseq it came to its folder with.
    created: int = 0

    @property
    def id(self) -> str:
        """RFC 8474 EMAILID."""
        return f"M{self.email_id:x}"

    @property
    def size(self) -> int:
        """Octets of the message as readers see it."""
        return len(self.prefix) + self.held.blob.size

    def row(self) -> MessageRow:
        """The message as readers get it."""
        return MessageRow(
            self.uid, self.modseq, self.flags, self.keywords, self.size, self.received, self.saved,
            self.id, f"T{self.thread_id:x}", self.prefix, self.held.blob, self.cached,
        )  # fmt: skip


@dataclass(slots=True)
class Folder:
    """One folder with its messages in UID order."""

    id: int
    name: str
    uidvalidity: int
    modseq: int
    special_use: str = ""
    uidnext: int = 1
    recent: int = 1
    messages: dict[int, Message] = field(default_factory=dict)
    vanished: list[Vanished] = field(default_factory=list)
    created: int = 0
    changed: int = 0
    #: UIDs set aside for a copy that is being staged.
    hidden: range = range(0)
    #: (grantee, UID) -> their own \\Seen, and the modseq of its last change.
    seen: dict[tuple[str, int], tuple[bool, int]] = field(default_factory=dict)

    def next_uids(self, count: int) -> range:
        """Allocate UIDs; those that are set aside are passed over. Raises StoreError(LIMIT)."""
        first = self.uidnext
        if self.hidden and first < self.hidden[0] < first + count:
            first = self.hidden[-1] + 1
        if first + count > LAST_UID:
            raise no_uids()
        self.uidnext = first + count
        if self.hidden and self.uidnext == self.hidden[0]:
            self.uidnext = self.hidden[-1] + 1
        return range(first, first + count)

    @property
    def object_id(self) -> str:
        """RFC 8474 MAILBOXID."""
        return f"F{self.uidvalidity:x}"

    def row(self, *, subscribed: bool) -> MailboxRow:
        """The folder as readers get it."""
        messages = self.messages.values()
        return MailboxRow(
            self.id, self.name, self.uidvalidity, self.uidnext, self.modseq, len(messages),
            sum(not message.flags & Flag.SEEN for message in messages),
            sum(bool(message.flags & Flag.DELETED) for message in messages),
            sum(message.size for message in messages),
            self.special_use, subscribed, self.object_id, self.recent,
            sum(message.size for message in messages if message.flags & Flag.DELETED), self.created, self.changed,
        )  # fmt: skip


@dataclass(slots=True)
class Kept:
    """A message in the undelete window."""

    mailbox_id: int
    message: Message
    at: int

    def row(self, row_id: int, mailbox: str) -> ExpungedRow:
        """The message as readers get it."""
        message = self.message
        return ExpungedRow(
            row_id, self.mailbox_id, mailbox, message.uid, message.id, message.flags, message.keywords, message.size,
            message.saved, self.at,
        )  # fmt: skip


@dataclass(slots=True)
class Staging:
    """A large copy under way."""

    source_id: int
    target_id: int
    first_modseq: int
    modseq: int
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Mailstore:
    """One account."""

    name: Account
    #: Never the same for two accounts.
    number: int = 0
    modseq: int = 1
    next_folder: int = 1
    folders: dict[int, Folder] = field(default_factory=dict)
    subscriptions: set[str] = field(default_factory=set)
    #: Key -> the thread it belongs to and the email that brought it.
    threads: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    floor: int = 0
    held: bool = False
    released: int = 0
    #: (kind, key) -> its last change.
    log: dict[tuple[str, str], OtherChange] = field(default_factory=dict)
    rights: dict[tuple[int, str], str] = field(default_factory=dict)
    annotations: dict[tuple[int, str, str], bytes] = field(default_factory=dict)
    things: dict[tuple[str, str], tuple[bytes, int]] = field(default_factory=dict)
    #: Idempotency key -> folder, UID and when.
    keys: dict[bytes, tuple[int, int, int]] = field(default_factory=dict)
    kept: dict[int, Kept] = field(default_factory=dict)
    #: Names of folders that are gone, as long as something of theirs is kept; and when they went.
    former: dict[int, tuple[str, int]] = field(default_factory=dict)
    copies: dict[int, Staging] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """Whose quota it counts for."""
        return f"{self.name.partition('/')[0]}/{self.name.rpartition('@')[2]}"

    def note(self, kind: str, *keys: str, gone: bool = False) -> None:
        """Put into the change log, with the present modseq."""
        for key in keys:
            self.log[kind, key] = OtherChange(kind, key, self.modseq, gone)

    def forget(self, floor: int) -> None:
        """What is gone since before a modseq is not told any more."""
        self.floor = floor = max(self.floor, min(floor, self.modseq))
        for folder in self.folders.values():
            folder.vanished = [gone for gone in folder.vanished if gone.modseq >= floor]
        self.log = {key: one for key, one in self.log.items() if not (one.gone and one.modseq < floor)}

    def trim(self, most: int) -> None:
        """Forget the oldest of what is gone where that is more."""
        gone = [
            vanished.modseq for folder in self.folders.values() for vanished in folder.vanished for _ in vanished.runs
        ]
        gone += [one.modseq for one in self.log.values() if one.gone]
        if len(gone) > most:
            self.forget(sorted(gone)[len(gone) - most - 1] + 1)

    def folder(self, mailbox_id: int) -> Folder:
        """Raises StoreError(NO_MAILBOX)."""
        if mailbox_id not in self.folders:
            raise StoreError(Reason.NO_MAILBOX)
        return self.folders[mailbox_id]

    def named(self, name: str) -> Folder | None:
        """The folder of that name."""
        return next((folder for folder in self.folders.values() if folder.name == name), None)

    def usage(self) -> tuple[int, int]:
        """Bytes and messages."""
        messages = [message for folder in self.folders.values() for message in folder.messages.values()]
        return sum(message.size for message in messages), len(messages)

    def bump(self) -> int:
        """Allocate a modseq."""
        self.modseq += 1
        return self.modseq

    def take_private(self, mailbox_id: int, user: str) -> None:
        """What was a user's own on a folder is forgotten."""
        folder = self.folders[mailbox_id]
        folder.seen = {key: seen for key, seen in folder.seen.items() if key[0] != user}
        self.annotations = {key: value for key, value in self.annotations.items() if key[:2] != (mailbox_id, user)}

    def forget_threads(self) -> None:
        """Keys go with the email that brought them."""
        alive = {message.email_id for message in self.held_messages()}
        self.threads = {key: owner for key, owner in self.threads.items() if owner[1] in alive}

    def held_messages(self) -> list[Message]:
        """All messages that hold an email: in folders, in the undelete window, on their way in a copy."""
        found = [message for folder in self.folders.values() for message in folder.messages.values()]
        found += [kept.message for kept in self.kept.values()]
        return found + [message for copy in self.copies.values() for message in copy.messages]


class Waiting(NamedTuple):
    """A queue row with what only the store sees of it."""

    row: QueueRow
    held: Held
    until: int = 0


@dataclass(slots=True)
class State:
    """All of it."""

    now: int = 0
    accounts: dict[Account, Mailstore] = field(default_factory=dict)
    queue: dict[int, Waiting] = field(default_factory=dict)
    bodies: weakref.WeakValueDictionary[int, Held] = field(default_factory=weakref.WeakValueDictionary)
    counters: Counter[str] = field(default_factory=Counter)
    ledger: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    uidvalidity: int = 0
    lease: int = 1  # a start is one
    last_account: int = 0
    last_queue_id: int = 0
    last_blob_id: int = 0
    last_email_id: int = 0
    last_kept_id: int = 0
    last_copy_id: int = 0
    #: What the present transaction changed, for the feed.
    changed: set[Account] = field(default_factory=set)
    queue_changed: bool = False

    def account(self, name: Account) -> Mailstore:
        """The account, made with its default folders where it is new."""
        if name not in self.accounts:
            self.last_account += 1
            made = Mailstore(name, self.last_account)
            self.accounts[name] = made
            for folder, special_use in names.DEFAULT_FOLDERS:
                self.add_folder(made, folder, special_use)
                made.subscriptions.add(folder)
            self.changed.add(name)
        return self.accounts[name]

    def domain_bytes(self, domain: str) -> int:
        """What the accounts of a domain hold."""
        return sum(account.usage()[0] for account in self.accounts.values() if account.domain == domain)

    def next_uidvalidity(self) -> int:
        """A UIDVALIDITY no folder ever had."""
        self.uidvalidity = max(self.uidvalidity + 1, self.now)
        return self.uidvalidity

    def add_folder(self, account: Mailstore, name: str, special_use: str = "") -> Folder:
        """Add one folder."""
        folder = Folder(account.next_folder, name, self.next_uidvalidity(), account.bump(), special_use)
        folder.created = folder.changed = folder.modseq
        account.note("mailbox", str(folder.id))
        account.next_folder += 1
        account.folders[folder.id] = folder
        self.changed.add(account.name)
        return folder

    def hold(self, body: Body) -> Held:
        """Keep a body. Raises StoreError when it is not what it says."""
        data = self.read(body)
        self.last_blob_id += 1
        held = Held(Blob(self.last_blob_id, body.size), data)
        self.bodies[self.last_blob_id] = held
        return held

    @staticmethod
    def read(body: Body) -> bytes:
        """The bytes of a body. Raises StoreError when it is not what it says."""
        data = body.data
        if body.path:
            with open(body.path, "rb") as spool:  # noqa: PTH123 -- the path is text on the wire
                data = spool.read()
        if len(data) != body.size:
            raise StoreError(Reason.INVALID, "the body is not as long as it says")
        return data
