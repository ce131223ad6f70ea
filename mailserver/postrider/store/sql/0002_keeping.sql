-- min_reader: 2
-- One change log for each account, what users own, the undelete window, quotas of domains, large copies.
-- From here on schemas only expand: a new column has a default, and every INSERT names its columns.

-- held: legal hold. floor: changes up to this modseq cannot be told any more. released: when the account was put away
-- under a name of its own. key_id: the key of what is sealed, which is a file; 0 while all lies in the clear. domain:
-- whose quota the account counts for, "namespace/domain".
ALTER TABLE account ADD COLUMN held INT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN floor INT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN released INT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN key_id INT NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN domain TEXT GENERATED ALWAYS AS (
    substr(name, 1, instr(name, '/')) || substr(name, length(rtrim(name, replace(name, '@', ''))) + 1)
) VIRTUAL;

-- Kept by triggers, so that it is right whoever changes an account, after a rollback and after a restart.
CREATE TABLE domain_usage (
    domain TEXT PRIMARY KEY, bytes INT NOT NULL DEFAULT 0, messages INT NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO domain_usage (domain, bytes, messages) SELECT domain, sum(bytes), sum(messages) FROM account GROUP BY domain;
CREATE TRIGGER account_made AFTER INSERT ON account BEGIN
    INSERT INTO domain_usage (domain, bytes, messages) VALUES (new.domain, new.bytes, new.messages)
        ON CONFLICT (domain) DO UPDATE SET bytes = bytes + excluded.bytes, messages = messages + excluded.messages;
END;
CREATE TRIGGER account_grew AFTER UPDATE OF bytes, messages ON account BEGIN
    UPDATE domain_usage SET bytes = bytes + new.bytes - old.bytes, messages = messages + new.messages - old.messages
        WHERE domain = new.domain;
END;
CREATE TRIGGER account_gone AFTER DELETE ON account BEGIN
    UPDATE domain_usage SET bytes = bytes - old.bytes, messages = messages - old.messages WHERE domain = old.domain;
END;

-- created: modseq; changed: modseq of the last change to name, role or rights. deleted_bytes: of messages that carry
-- \Deleted (RFC 9208 DELETED-STORAGE). hidden_first to hidden_last: UIDs of a copy that is being staged, or of one that
-- died and is being cleared away: their rows are there for nobody. UIDNEXT passes over them.
ALTER TABLE mailbox ADD COLUMN created INT NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN changed INT NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN deleted_bytes INT NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN hidden_first INT NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN hidden_last INT NOT NULL DEFAULT 0;
UPDATE mailbox SET deleted_bytes = (
    SELECT coalesce(sum(size), 0) FROM message
    WHERE message.account_id = mailbox.account_id AND mailbox_id = mailbox.id AND flags & 8
) WHERE deleted > 0;

-- created: the modseq the row came with, to tell created from updated.
ALTER TABLE message ADD COLUMN created INT NOT NULL DEFAULT 0;
CREATE INDEX message_email ON message (account_id, email_id);
-- email.refs is not kept any more: message_email and expunged_email tell whether anything needs an email, and a copy
-- of a large folder touches none of its emails.
-- JMAP's threads, and emails that a thread has.
CREATE INDEX email_thread ON email (account_id, thread_id) WHERE thread_id IS NOT NULL;

-- What was expunged and is kept for a while, or for as long as a legal hold lasts; ids rise with time.
CREATE TABLE expunged (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INT NOT NULL, mailbox_id INT NOT NULL, uid INT NOT NULL,
    email_id INT NOT NULL, flags INT NOT NULL, keywords TEXT NOT NULL, size INT NOT NULL, saved INT NOT NULL,
    at INT NOT NULL
) STRICT;
CREATE INDEX expunged_account ON expunged (account_id);
CREATE INDEX expunged_email ON expunged (account_id, email_id);
-- The names of folders that are gone, as long as there is something of theirs in expunged.
CREATE TABLE former (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, name TEXT NOT NULL, at INT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id)
) STRICT, WITHOUT ROWID;
-- kept: when a removed folder's messages were expunged and are to be kept; 0: they are released. hidden_first and
-- hidden_last: as they were in the folder; those rows are never kept. mailbox_id 0: what an account had beside mail,
-- and its key, which goes at once.
ALTER TABLE doomed ADD COLUMN kept INT NOT NULL DEFAULT 0;
ALTER TABLE doomed ADD COLUMN hidden_first INT NOT NULL DEFAULT 0;
ALTER TABLE doomed ADD COLUMN hidden_last INT NOT NULL DEFAULT 0;
ALTER TABLE doomed ADD COLUMN key_id INT NOT NULL DEFAULT 0;

-- What changed beside messages: one row for each thing, with the modseq of its last change. With message.modseq and
-- vanished this is the account's change log.
CREATE TABLE change (
    account_id INT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, modseq INT NOT NULL, gone INT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_modseq ON change (account_id, modseq);

-- Who may do what with a folder (RFC 4314), and which folders a user may see.
CREATE TABLE rights (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, grantee TEXT NOT NULL, rights TEXT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, grantee)
) STRICT, WITHOUT ROWID;
CREATE INDEX rights_grantee ON rights (grantee);

-- \Seen of users on folders of others (RFC 4314 section 4).
CREATE TABLE seen (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, uid INT NOT NULL, grantee TEXT NOT NULL, seen INT NOT NULL,
    modseq INT NOT NULL, PRIMARY KEY (account_id, mailbox_id, uid, grantee)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_grantee ON seen (account_id, mailbox_id, grantee, modseq);

-- Annotations (RFC 5464): mailbox_id 0 is the account's own, owner '' is shared.
CREATE TABLE annotation (
    account_id INT NOT NULL, mailbox_id INT NOT NULL, owner TEXT NOT NULL, entry TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, owner, entry)
) STRICT, WITHOUT ROWID;

-- Sieve scripts, app passwords, identities, vacation ...: what users own and nobody declares.
CREATE TABLE thing (
    account_id INT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, modseq INT NOT NULL,
    PRIMARY KEY (account_id, kind, name)
) STRICT, WITHOUT ROWID;

-- Keys that make an import or an APPEND store once.
CREATE TABLE append_key (
    account_id INT NOT NULL, key BLOB NOT NULL, mailbox_id INT NOT NULL, uid INT NOT NULL, at INT NOT NULL,
    PRIMARY KEY (account_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX append_key_at ON append_key (account_id, at);

-- Large copies under way: the rows are in message, among the target's hidden UIDs. uid: of the next row; modseq_first
-- and modseq: of the first slice and of the next; messages, unseen, deleted, bytes, deleted_bytes: what is to be added
-- to the folder; dead: given up.
CREATE TABLE staged (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INT NOT NULL, source_id INT NOT NULL, target_id INT NOT NULL,
    uid INT NOT NULL, modseq_first INT NOT NULL, modseq INT NOT NULL, touched INT NOT NULL, dead INT NOT NULL DEFAULT 0,
    messages INT NOT NULL DEFAULT 0, unseen INT NOT NULL DEFAULT 0, deleted INT NOT NULL DEFAULT 0,
    bytes INT NOT NULL DEFAULT 0, deleted_bytes INT NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX staged_target ON staged (account_id, target_id);
