-- Whether Redis may be trusted: docs/adr/0013. One row. Whoever changes something that Redis may hold locks it in share
-- mode until the end of the transaction, so that no new epoch begins under a transaction that relies on the old one.
CREATE TABLE cache_state (
    id TINYINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL COMMENT 'what Redis holds of an earlier epoch counts for nothing',
    server VARCHAR(64) NOT NULL COMMENT 'run_id of the Redis server of this epoch'
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;

INSERT IGNORE INTO cache_state (id, epoch, server) VALUES (1, 0, '');

-- Epochs in which somebody could not mark in Redis what it was about to change, and since when, in UTC.
CREATE TABLE cache_doubts (
    epoch BIGINT NOT NULL PRIMARY KEY,
    doubted_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;

-- One row, one more with each refresh. Redis remembers it too: a database that has less was restored to an earlier state.
CREATE TABLE cache_beat (
    id TINYINT NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;

-- Redis is marked before the commit now, so that nothing has to be applied after it.
DROP TABLE cache_changes;
