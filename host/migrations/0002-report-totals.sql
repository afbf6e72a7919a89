-- What the reports show, kept up to date inside each order's own transaction: a report reads ten rows at any size.
-- A row is made with its user or product and holds zero until the first order, so an order only ever updates
-- existing rows and takes no gap locks.

CREATE TABLE user_totals (
    user_id BIGINT NOT NULL PRIMARY KEY,
    total_expense DECIMAL(20, 2) NOT NULL DEFAULT 0,
    KEY user_totals_rank (total_expense DESC, user_id),
    CONSTRAINT user_totals_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

CREATE TABLE product_totals (
    product_id BIGINT NOT NULL PRIMARY KEY,
    quantity_sold BIGINT NOT NULL DEFAULT 0,
    KEY product_totals_rank (quantity_sold DESC, product_id),
    CONSTRAINT product_totals_product FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
