-- A random number of the transaction that wrote the row (NULL: an older version's, or none that needs it). By it a host
-- whose connection was lost at a commit finds out whether that happened.
ALTER TABLE orders ADD COLUMN written_by BIGINT NULL;
ALTER TABLE products ADD COLUMN written_by BIGINT NULL;
ALTER TABLE stocks ADD COLUMN written_by BIGINT NULL;

-- E-mail addresses are the same when their bytes are, but for the case of A to Z. No collation of both servers says
-- that: the one before took sushi for beer. LOWER() would change more than A to Z, and differently on each server.
-- Addresses that were different before stay so, which is why this never fails on what is there.
ALTER TABLE users
    ADD COLUMN written_by BIGINT NULL,
    ADD COLUMN email_key VARCHAR(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
        GENERATED ALWAYS AS (
            REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(
            REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(email
            , 'A', 'a'), 'B', 'b'), 'C', 'c'), 'D', 'd'), 'E', 'e'), 'F', 'f')
            , 'G', 'g'), 'H', 'h'), 'I', 'i'), 'J', 'j'), 'K', 'k'), 'L', 'l')
            , 'M', 'm'), 'N', 'n'), 'O', 'o'), 'P', 'p'), 'Q', 'q'), 'R', 'r')
            , 'S', 's'), 'T', 't'), 'U', 'u'), 'V', 'v'), 'W', 'w'), 'X', 'x')
            , 'Y', 'y'), 'Z', 'z')
        ) STORED,
    DROP KEY users_email,
    ADD UNIQUE KEY users_email_key (email_key);

-- Keys are of every POST now, and what they stand for is no longer an order's id alone.
ALTER TABLE idempotency_keys
    MODIFY COLUMN body_sha256 CHAR(64) NOT NULL COMMENT 'of the route and the body, of the body alone for orders',
    MODIFY COLUMN order_id BIGINT NOT NULL COMMENT 'the number that was answered: of an order, a user, a product or a stock';
