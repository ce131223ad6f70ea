-- min_reader: 3
-- The journal: what was committed and is on its way into the packs. Bodies are compressed, and may be files.

-- Changes of one batch (store/journal.py), written with them; they go once the packs hold them.
CREATE TABLE outbox (batch INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT;

-- snapshot: batch at which the last whole snapshot of all rows began; snapshot_bytes: its octets; layout: CRC of the
-- tables and columns as the journal knows them.
CREATE TABLE journal (name TEXT PRIMARY KEY, value INT NOT NULL) STRICT, WITHOUT ROWID;

-- journal: octets of journal records that are needed; batch: the last one in it; emptied: since when nobody needs
-- anything in it; state: open (or sealed) or copying (being written by a compaction).
ALTER TABLE pack ADD COLUMN journal INT NOT NULL DEFAULT 0;
ALTER TABLE pack ADD COLUMN batch INT NOT NULL DEFAULT 0;
ALTER TABLE pack ADD COLUMN emptied INT NOT NULL DEFAULT 0;
ALTER TABLE pack ADD COLUMN state TEXT NOT NULL DEFAULT 'open';

-- Where the body is when it is a file of its own: then pack is 0. `stored` counts the whole record from now on.
ALTER TABLE blob ADD COLUMN path TEXT NOT NULL DEFAULT '';
CREATE INDEX blob_place ON blob (pack, start);
