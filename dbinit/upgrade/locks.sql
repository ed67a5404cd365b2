-- What one process at a time does: a row for each lock that somebody has.

CREATE TABLE IF NOT EXISTS locks (
    name       VARCHAR(64)     NOT NULL PRIMARY KEY,
    owner      BIGINT UNSIGNED NOT NULL COMMENT 'drawn at random by the process that took it',
    expires_at TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'put off again and again while the owner lives'
) CHARACTER SET utf8mb4 COLLATE {bin};
