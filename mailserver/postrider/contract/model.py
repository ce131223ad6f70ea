"""The snapshot: everything declared, as the server sees it. Frozen values, no behaviour but look-ups that cannot fail.

Within a schema version changes only add: a reader ignores fields it does not know, a writer gives every new field a
default.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

#: The snapshot version this code writes, and those it reads.
VERSION = 1
READABLE = (1,)

Port = Annotated[int, Meta(ge=1, le=65535)]
Bytes = Annotated[int, Meta(ge=0)]
Seconds = Annotated[int, Meta(ge=0)]


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The common shape of everything in a snapshot: immutable, named fields, defaults not written."""


class Limits(Row, frozen=True):
    """What a stranger can make grow, and how far."""

    message_bytes: Bytes = 50 * 1024 * 1024
    recipients_per_message: Annotated[int, Meta(ge=1)] = 1000
    #: Received header fields beyond which a message loops (RFC 5321 §6.3).
    received_fields: Annotated[int, Meta(ge=1)] = 100
    connections: Annotated[int, Meta(ge=1)] = 2000
    connections_per_ip: Annotated[int, Meta(ge=1)] = 100
    #: Failed logins per client address and per login within ten minutes before further tries wait.
    login_failures: Annotated[int, Meta(ge=1)] = 10


class Relay(Row, frozen=True):
    """A smarthost that takes all mail for other domains."""

    host: str
    port: Port = 587
    #: "starttls", "tls" or "none".
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    #: Name of a row in the keys plane that holds the password, "" without AUTH.
    password_key: str = ""


class QueuePolicy(Row, frozen=True):
    """How outbound mail is retried (RFC 5321 §4.5.4.1)."""

    first_retry: Seconds = 300
    max_retry: Seconds = 4020
    #: A message is returned after this time.
    lifetime: Seconds = 5 * 24 * 3600
    #: A delay DSN is sent after this time (RFC 5321 §4.5.4.1).
    delay_notice: Seconds = 4 * 3600
    #: Port of mail exchangers; differs from 25 in tests only.
    smtp_port: Port = 25


#: Special uses (RFC 6154 §2) whose mail may have an end: the field of Retention that says when, without the "\\".
SPECIAL_USES = ("archive", "drafts", "junk", "sent", "trash")
#: Starts the names of rows of the keys plane that hold keys of Storage.encryption_keys.
STORAGE_KEY = "storage-key/"


class Retention(Row, frozen=True):
    """Seconds after which mail in folders with a special use is removed; 0 keeps it, None says nothing."""

    archive: Seconds | None = None
    drafts: Seconds | None = None
    junk: Seconds | None = None
    sent: Seconds | None = None
    trash: Seconds | None = None


class Policy(Row, frozen=True, kw_only=True):
    """How much mail an account may hold and how long it is kept; what is None is said by the domain, then the server.

    `contract.policy.effective` puts the three together.
    """

    #: 0: unlimited.
    quota_bytes: Bytes | None = None
    #: What senders hear of a full account or domain: try again later, or no.
    when_full: Literal["defer", "reject"] | None = None
    #: Percentages of the quota at which the user is warned; () never.
    quota_warnings: tuple[Annotated[int, Meta(ge=1, le=100)], ...] | None = None
    #: Seconds that expunged mail can be brought back; 0: it is gone at once.
    undelete: Seconds | None = None
    retention: Retention = Retention()
    #: Nothing is removed for good while any of the three says so.
    legal_hold: bool = False


class Storage(Row, frozen=True):
    """How the data directory keeps mail."""

    #: Where bodies go: decided at the first start of a data directory, for good.
    blobs: Literal["packs", "maildir"] = "packs"
    #: Ids of the keys that wrap the accounts' own, the newest first: it wraps, all of them unwrap. () is in the clear.
    #: Each is 32 bytes in base64, the row STORAGE_KEY + id of the keys plane.
    encryption_keys: tuple[str, ...] = ()


class Server(Row, frozen=True):
    """The fleet: what one MailServer says."""

    hostname: str
    #: Namespace and name of the MailServer.
    namespace: str = "default"
    name: str = "default"
    limits: Limits = Limits()
    queue: QueuePolicy = QueuePolicy()
    relay: Relay | None = None
    #: CIDRs whose PROXY protocol header is believed.
    proxy_networks: tuple[str, ...] = ()
    #: The address failures of nobody's mail are told to; "" is postmaster@hostname.
    postmaster: str = ""
    storage: Storage = Storage()
    #: What holds for mailboxes whose own row and domain do not say otherwise.
    mailboxes: Policy = Policy()


class Domain(Row, frozen=True):
    """A domain we are responsible for; `name` in A-labels."""

    name: str
    namespace: str = "default"
    #: metadata.name of the MailDomain it came from; "" where it has none of its own.
    resource: str = ""
    #: First claimed, seconds since the epoch; the earliest of competing claims serves, 0 comes after all.
    since: int = 0
    #: Selectors in use for signing, in the order the signatures are added; keys are rows of the keys plane.
    selectors: tuple[str, ...] = ()
    #: Separates the user from the detail in local parts; "" switches sub-addressing off.
    subaddress_separator: str = "+"
    #: Bytes that all its mailboxes may hold together; 0: unlimited.
    quota_bytes: Bytes = 0
    #: What holds for those of its mailboxes whose own row does not say otherwise.
    mailboxes: Policy = Policy()
    #: Generation in which this row last changed: who has loaded that one serves the row as it is.
    changed: int = 0


class Mailbox(Policy, frozen=True, kw_only=True):
    """One account: `address` in its normal form (model.address.Address.key)."""

    address: str
    namespace: str = "default"
    #: metadata.name of the Mailbox it came from.
    resource: str = ""
    #: Password verifiers (contract.passwords); any of them lets the user in. Empty: no login.
    verifiers: tuple[str, ...] = ()
    #: What the verifiers were made from: "uid/resourceVersion/key" of the Secret.
    password_source: str = ""
    #: As Domain.since; Mailboxes and Aliases compete for addresses.
    since: int = 0
    display_name: str = ""
    #: Its mail is removed once it is no longer declared (deletionPolicy: Delete).
    release: bool = False
    #: Generation in which this row last changed: who has loaded that one serves the row as it is.
    changed: int = 0


class Alias(Row, frozen=True):
    """An address that stands for others; `address` may be "*@domain", the catch-all."""

    address: str
    targets: tuple[str, ...]
    namespace: str = "default"
    #: metadata.name of the Alias it came from.
    resource: str = ""
    since: int = 0
    #: Generation in which this row last changed: who has loaded that one serves the row as it is.
    changed: int = 0


class Claim(Row, frozen=True):
    """Who claimed a name first: a resource that lost it to an earlier claim, or one that is gone.

    Claims of what is served stand in the rows themselves. Kept so that the same resources, applied again in another
    order, have the same winners.
    """

    kind: Literal["MailDomain", "Mailbox", "Alias"]
    #: The domain or the address in its normal form.
    key: str
    namespace: str = "default"
    resource: str = ""
    since: int = 0
    #: When the resource was last seen, seconds since the epoch; 0 while it exists.
    gone: int = 0
    #: With `gone`: the account's mail is to be removed, unless a Mailbox of the snapshot has its address.
    release: bool = False


class DkimKey(Row, frozen=True):
    """A signing key. `pem` is PKCS#8 (keys plane: secret)."""

    domain: str
    selector: str
    algorithm: Literal["RSA", "Ed25519"]
    pem: str
    namespace: str = "default"
    #: metadata.name of the DkimKey it came from.
    resource: str = ""
    #: Generation in which this row last changed: who has loaded that one serves the row as it is.
    changed: int = 0


class Certificate(Row, frozen=True):
    """A TLS certificate with its key, PEM (keys plane: secret).

    Where no name fits, the first one is used: `files` orders those for the server's hostname first, then by name.
    """

    names: tuple[str, ...]
    chain: str
    key: str


class NamedSecret(Row, frozen=True):
    """Another secret the configuration refers to by name (relay passwords, keys of the store)."""

    name: str
    value: str


class Snapshot(Row, frozen=True):
    """One generation of everything declared. Generation numbers only grow."""

    server: Server
    generation: int = 0
    version: int = VERSION
    domains: tuple[Domain, ...] = ()
    mailboxes: tuple[Mailbox, ...] = ()
    aliases: tuple[Alias, ...] = ()
    keys: tuple[DkimKey, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    secrets: tuple[NamedSecret, ...] = ()
    claims: tuple[Claim, ...] = ()
    #: The generation that would have dropped too many mailboxes and waits for its acknowledgement; 0: none does.
    held: int = 0
