-- min_reader: 1
-- The first schema. Every key of the mailbox side begins with account_id, so that accounts can be told apart,
-- moved and spread. Times are seconds since the epoch.

CREATE TABLE schema_version (component TEXT PRIMARY KEY, version INT NOT NULL, min_reader INT NOT NULL)
    STRICT, WITHOUT ROWID;

-- uidvalidity: the last one given to any folder, so that none repeats; lease: how often a writer has started.
CREATE TABLE sequence (name TEXT PRIMARY KEY, value INT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('uidvalidity', 0), ('lease', 0);

-- accepted = delivered + queued + bounced + expired + removed + discarded, changed with what they count.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES
    ('accepted', 0), ('delivered', 0), ('queued', 0), ('bounced', 0), ('expired', 0), ('removed', 0), ('discarded', 0);

-- Bodies: where each lies, and how many emails and queue rows need it. An id is never used again: a session may still
-- hold it. dead: bytes of records nobody needs.
CREATE TABLE pack (id INTEGER PRIMARY KEY, used INT NOT NULL, dead INT NOT NULL DEFAULT 0) STRICT;
CREATE TABLE blob (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL, size INT NOT NULL, codec INT NOT NULL, key_id INT NOT NULL,
    pack INT NOT NULL, start INT NOT NULL, stored INT NOT NULL, refs INT NOT NULL
) STRICT;

-- One modseq per account orders everything that happens in it.
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, modseq INT NOT NULL DEFAULT 1,
    next_mailbox INT NOT NULL DEFAULT 1,
    bytes INT NOT NULL DEFAULT 0, messages INT NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE mailbox (
    account_id INT NOT NULL, id INT NOT NULL, name TEXT NOT NULL, uidvalidity INT NOT NULL,
    uidnext INT NOT NULL DEFAULT 1, modseq INT NOT NULL, recent INT NOT NULL DEFAULT 1,
    messages INT NOT NULL DEFAULT 0, unseen INT NOT NULL DEFAULT 0, deleted INT NOT NULL DEFAULT 0,
    bytes INT NOT NULL DEFAULT 0, special_use TEXT NOT NULL DEFAULT '', object_id TEXT NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox (account_id, name);

-- Names, not folders: a subscription outlives its folder (RFC 9051 section 6.3.7).
CREATE TABLE subscription (account_id INT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account_id, name))
    STRICT, WITHOUT ROWID;

-- What never changes about a message, once per account however many folders hold it (RFC 8474 EMAILID). Ids are not
-- the account's own, so that new rows of all accounts lie on the same pages; thread_id null is the id itself.
-- thread_keys: those that this message brought (MessagePack); they go with it.
CREATE TABLE email (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INT NOT NULL, thread_id INT, blob_id INT NOT NULL,
    refs INT NOT NULL, size INT NOT NULL, received INT NOT NULL, prefix BLOB NOT NULL, cached BLOB NOT NULL,
    thread_keys BLOB
) STRICT;
CREATE TABLE thread_key (
    account_id INT NOT NULL, key BLOB NOT NULL, thread_id INT NOT NULL, PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;

-- A message in a folder: the small part, which flags change.
CREATE TABLE message (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, uid INT NOT NULL, email_id INT NOT NULL, modseq INT NOT NULL,
    flags INT NOT NULL, keywords TEXT NOT NULL, size INT NOT NULL, saved INT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_modseq ON message (account_id, mailbox_id, modseq);

-- Tombstones: UIDs first to last were expunged at modseq (RFC 7162 section 3.2.10).
CREATE TABLE vanished (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, modseq INT NOT NULL, first INT NOT NULL, last INT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, modseq, first)
) STRICT, WITHOUT ROWID;

-- Folders whose rows are still to be removed, a slice at a time between batches.
CREATE TABLE doomed (account_id INT NOT NULL, mailbox_id INT NOT NULL, PRIMARY KEY (account_id, mailbox_id))
    STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INT NOT NULL, destination TEXT NOT NULL, sender TEXT NOT NULL,
    recipient TEXT NOT NULL, prefix BLOB NOT NULL, blob_id INT NOT NULL, created INT NOT NULL, due INT NOT NULL,
    attempts INT NOT NULL DEFAULT 0, epoch INT NOT NULL DEFAULT 0, claimed_until INT NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'ready', notify INT NOT NULL, orcpt TEXT NOT NULL, ret TEXT NOT NULL,
    envid TEXT NOT NULL, body TEXT NOT NULL, smtputf8 INT NOT NULL, account TEXT NOT NULL,
    delay_told INT NOT NULL DEFAULT 0, last_reply TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX queue_ready ON queue (due, id, lane, destination) WHERE state = 'ready';
CREATE INDEX queue_claimed ON queue (claimed_until, lane) WHERE state = 'claimed';

-- Small values that expire.
CREATE TABLE ledger (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires INT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_expires ON ledger (expires);
