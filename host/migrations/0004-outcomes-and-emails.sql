-- A random number of the transaction that wrote the row (NULL: an older version's, or none that needs it). By it a host
-- whose connection was lost at a commit finds out whether that happened.
ALTER TABLE orders ADD COLUMN written_by BIGINT NULL;
ALTER TABLE products ADD COLUMN written_by BIGINT NULL;
ALTER TABLE stocks ADD COLUMN written_by BIGINT NULL;
ALTER TABLE users ADD COLUMN written_by BIGINT NULL;

-- Keys are of every POST now, and what they stand for is no longer an order's id alone.
ALTER TABLE idempotency_keys
    MODIFY COLUMN body_sha256 CHAR(64) NOT NULL COMMENT 'of the route and the body, of the body alone for orders',
    MODIFY COLUMN order_id BIGINT NOT NULL COMMENT 'the number that was answered: of an order, a user, a product or a stock';
