-- Who is logged in on the pages. A browser has the id; here stands only its SHA-256, and that of the token that opened it.

CREATE TABLE IF NOT EXISTS sessions (
    id           BINARY(32)   NOT NULL PRIMARY KEY COMMENT 'SHA-256 of the id in the cookie',
    token        BINARY(32)   NOT NULL COMMENT 'SHA-256 of the token that opened it',
    name         VARCHAR(64)  NOT NULL COMMENT 'of that token',
    created_at   TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    last_seen_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'written once a minute at most',
    expires_at   TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'however often it is used',
    KEY sessions_last_seen (last_seen_at),
    KEY sessions_expires (expires_at)
) CHARACTER SET utf8mb4 COLLATE {bin};
