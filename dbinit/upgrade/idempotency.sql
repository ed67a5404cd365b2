-- What a client may safely ask again, though it would be done twice otherwise: by the header Idempotency-Key.

CREATE TABLE IF NOT EXISTS idempotency_keys (
    id      BINARY(32)   NOT NULL PRIMARY KEY COMMENT 'SHA-256 of who asked for what under which key',
    request BINARY(32)   NOT NULL COMMENT 'SHA-256 of the body',
    made    INT          NOT NULL COMMENT 'the id of what it made',
    at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    KEY idempotency_keys_at (at)
);
