-- min_reader: 3
-- What may not grow without a limit, or cost more the more of it there is. Triggers keep both tables, so that they are
-- right whoever changes what they count, the release before this one included; no journal has them.

-- Entries of an account's change log about what is gone: tombstones, and rows of change.
CREATE TABLE log_size (account_id INTEGER PRIMARY KEY, entries INT NOT NULL) STRICT;
CREATE INDEX vanished_modseq ON vanished (account_id, modseq);
CREATE INDEX change_gone ON change (account_id, modseq) WHERE gone = 1;
INSERT INTO log_size (account_id, entries) SELECT account_id, count(*) FROM
    (SELECT account_id FROM vanished UNION ALL SELECT account_id FROM change WHERE gone = 1) GROUP BY account_id;
CREATE TRIGGER vanished_more AFTER INSERT ON vanished BEGIN
    INSERT INTO log_size (account_id, entries) VALUES (new.account_id, 1)
        ON CONFLICT (account_id) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER vanished_less AFTER DELETE ON vanished BEGIN
    UPDATE log_size SET entries = entries - 1 WHERE account_id = old.account_id;
END;
CREATE TRIGGER change_more AFTER INSERT ON change WHEN new.gone = 1 BEGIN
    INSERT INTO log_size (account_id, entries) VALUES (new.account_id, 1)
        ON CONFLICT (account_id) DO UPDATE SET entries = entries + 1;
END;
CREATE TRIGGER change_turns AFTER UPDATE OF gone ON change WHEN new.gone <> old.gone BEGIN
    INSERT INTO log_size (account_id, entries) VALUES (new.account_id, new.gone - old.gone)
        ON CONFLICT (account_id) DO UPDATE SET entries = entries + new.gone - old.gone;
END;
CREATE TRIGGER change_less AFTER DELETE ON change WHEN old.gone = 1 BEGIN
    UPDATE log_size SET entries = entries - 1 WHERE account_id = old.account_id;
END;

-- Destinations with rows that are ready, and the first of them: whoever looks for what is due passes over a destination
-- that has no connection free at once, however many rows wait for it.
CREATE TABLE destination (name TEXT PRIMARY KEY, lane INT NOT NULL, due INT NOT NULL, first INT NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE INDEX destination_due ON destination (due, first, lane);
CREATE INDEX queue_destination ON queue (destination, due, id) WHERE state = 'ready';
INSERT INTO destination (name, lane, due, first) SELECT destination, lane, due, id FROM queue AS one
    WHERE state = 'ready' AND id = (SELECT id FROM queue WHERE destination = one.destination AND state = 'ready'
    ORDER BY due, id LIMIT 1);
CREATE TRIGGER queue_more AFTER INSERT ON queue WHEN new.state = 'ready' BEGIN
    INSERT INTO destination (name, lane, due, first) VALUES (new.destination, new.lane, new.due, new.id)
        ON CONFLICT (name) DO UPDATE SET due = new.due, first = new.id WHERE (new.due, new.id) < (due, first);
END;
CREATE TRIGGER queue_turns AFTER UPDATE OF state, due ON queue
    WHEN (old.state = 'ready' OR new.state = 'ready') AND (new.state <> old.state OR new.due <> old.due) BEGIN
    DELETE FROM destination WHERE name = old.destination AND first = old.id;
    INSERT INTO destination (name, lane, due, first) SELECT destination, lane, due, id FROM queue
        WHERE destination = new.destination AND state = 'ready' ORDER BY due, id LIMIT 1
        ON CONFLICT (name) DO UPDATE SET due = excluded.due, first = excluded.first;
END;
CREATE TRIGGER queue_less AFTER DELETE ON queue WHEN old.state = 'ready' BEGIN
    DELETE FROM destination WHERE name = old.destination AND first = old.id;
    INSERT INTO destination (name, lane, due, first) SELECT destination, lane, due, id FROM queue
        WHERE destination = old.destination AND state = 'ready' ORDER BY due, id LIMIT 1
        ON CONFLICT (name) DO UPDATE SET due = excluded.due, first = excluded.first;
END;
