-- Which of several members all hosts write to: docs/adr/0024. One row, replicated like all others, and changed by
-- compare-and-set on its term.
CREATE TABLE mysql_writer (
    id TINYINT NOT NULL PRIMARY KEY,
    term BIGINT NOT NULL COMMENT 'one more with each change',
    member VARCHAR(300) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL COMMENT 'host:port as hosts name it, blank before the first',
    origin CHAR(36) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL COMMENT 'the same on all that replicate one another',
    changed_at DATETIME(3) NOT NULL COMMENT 'in UTC'
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;

INSERT IGNORE INTO mysql_writer (id, term, member, origin, changed_at) VALUES (1, 0, '', UUID(), '2000-01-01');
