-- The first answer to each `Idempotency-Key` of POST /orders, written in the order's own transaction.
-- Keys and bodies are kept as lower-case SHA-256 in hexadecimal: fixed size, and nothing a client wrote.
CREATE TABLE idempotency_keys (
    key_sha256 CHAR(64) NOT NULL PRIMARY KEY,
    body_sha256 CHAR(64) NOT NULL,
    order_id BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    KEY idempotency_keys_age (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;

-- What a committed transaction changed and Redis may not show yet. The refresh task reads these rows, writes what
-- MySQL holds to Redis, and deletes the rows once no request that wrote them can still be under way.
CREATE TABLE cache_changes (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    entity VARCHAR(7) NOT NULL COMMENT 'order or product',
    entity_id BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_general_ci;
