"""What a store holds, as plain objects. Counters are counted, not kept: nothing here can disagree with itself."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from postrider.store import names
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Blob, Body, Flag, MailboxRow, MessageRow, QueueRow, Vanished


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

    @property
    def size(self) -> int:
        """Octets of the message as readers see it."""
        return len(self.prefix) + self.held.blob.size

    def row(self) -> MessageRow:
        """The message as readers get it."""
        return MessageRow(
            self.uid, self.modseq, self.flags, self.keywords, self.size, self.received, self.saved,
            f"M{self.email_id:x}", f"T{self.thread_id:x}", self.prefix, self.held.blob, self.cached,
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
        )  # fmt: skip


@dataclass(slots=True)
class Mailstore:
    """One account."""

    name: Account
    modseq: int = 1
    next_folder: int = 1
    folders: dict[int, Folder] = field(default_factory=dict)
    subscriptions: set[str] = field(default_factory=set)
    #: Key -> the thread it belongs to and the email that brought it.
    threads: dict[bytes, tuple[int, int]] = field(default_factory=dict)

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

    def forget_threads(self) -> None:
        """Keys go with the email that brought them."""
        alive = {message.email_id for folder in self.folders.values() for message in folder.messages.values()}
        self.threads = {key: owner for key, owner in self.threads.items() if owner[1] in alive}


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
    last_queue_id: int = 0
    last_blob_id: int = 0
    last_email_id: int = 0
    #: What the present transaction changed, for the feed.
    changed: set[Account] = field(default_factory=set)
    queue_changed: bool = False

    def account(self, name: Account) -> Mailstore:
        """The account, made with its default folders where it is new."""
        if name not in self.accounts:
            made = Mailstore(name)
            self.accounts[name] = made
            for folder, special_use in names.DEFAULT_FOLDERS:
                self.add_folder(made, folder, special_use)
                made.subscriptions.add(folder)
            self.changed.add(name)
        return self.accounts[name]

    def next_uidvalidity(self) -> int:
        """A UIDVALIDITY no folder ever had."""
        self.uidvalidity = max(self.uidvalidity + 1, self.now)
        return self.uidvalidity

    def add_folder(self, account: Mailstore, name: str, special_use: str = "") -> Folder:
        """Add one folder."""
        folder = Folder(account.next_folder, name, self.next_uidvalidity(), account.bump(), special_use)
        account.next_folder += 1
        account.folders[folder.id] = folder
        self.changed.add(account.name)
        return folder

    def hold(self, body: Body) -> Held:
        """Keep a body. Raises StoreError when it is not what it says."""
        data = body.data
        if body.path:
            with open(body.path, "rb") as spool:  # noqa: PTH123 -- the path is text on the wire
                data = spool.read()
        if len(data) != body.size:
            raise StoreError(Reason.INVALID, "the body is not as long as it says")
        self.last_blob_id += 1
        held = Held(Blob(self.last_blob_id, body.size), data)
        self.bodies[self.last_blob_id] = held
        return held
