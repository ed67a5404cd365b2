-- What is to be told to WEBHOOK_URL: written with an image's result, deleted when it was told.

CREATE TABLE IF NOT EXISTS webhooks (
    image_id INT             NOT NULL,
    claim    BIGINT UNSIGNED NOT NULL COMMENT 'of the processor that wrote the result',
    status   INT             NOT NULL COMMENT 'as which the image ended: 1 or 2',
    attempts INT UNSIGNED    NOT NULL DEFAULT 0,
    ended_at TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    due_at   TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'not before then; ahead while somebody is telling it',
    PRIMARY KEY (image_id, claim),
    KEY webhooks_due_at (due_at)
);
