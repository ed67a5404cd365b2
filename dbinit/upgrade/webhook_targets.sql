-- Webhooks to several targets: who gets them, what is to be delivered, and what was answered last.

CREATE TABLE IF NOT EXISTS webhook_targets (
    id         INT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    url        VARCHAR(2000) NOT NULL,
    secret     VARCHAR(255)  NOT NULL COMMENT 'key of the signatures, whsec_…',
    events     VARCHAR(255)  NOT NULL COMMENT 'what is sent, like image.processed,person.seen',
    paused     BOOLEAN       NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    removed_at TIMESTAMP(6)  NULL     COMMENT 'it is gone when nothing is left that waits for it'
) CHARACTER SET utf8mb4 COLLATE {bin};

CREATE TABLE IF NOT EXISTS webhook_attempts (
    id       BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target   INT UNSIGNED      NOT NULL COMMENT '0 is WEBHOOK_URL',
    at       TIMESTAMP(6)      NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    event    VARCHAR(32)       NOT NULL,
    image_id INT               NOT NULL COMMENT '0 for a test',
    status   SMALLINT UNSIGNED NULL     COMMENT 'of the answer',
    problem  VARCHAR(255)      NULL     COMMENT 'why it was not delivered',
    took_ms  INT UNSIGNED      NOT NULL,
    KEY webhook_attempts_target (target, at)
) CHARACTER SET utf8mb4 COLLATE {bin};

-- Written with an image's result, deleted when it was delivered. The table `webhooks` is that of earlier releases, which send to
-- WEBHOOK_URL alone; what they leave there is taken over.
CREATE TABLE IF NOT EXISTS webhook_deliveries (
    id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    target   INT UNSIGNED    NOT NULL COMMENT '0 is WEBHOOK_URL',
    event    VARCHAR(32)     NOT NULL,
    image_id INT             NOT NULL COMMENT '0 for a test',
    claim    BIGINT UNSIGNED NOT NULL COMMENT 'of the processor that wrote the result',
    person   INT             NOT NULL DEFAULT -1 COMMENT 'who was seen, if it reports that',
    attempts INT UNSIGNED    NOT NULL DEFAULT 0,
    ended_at TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'when the work on the image ended',
    due_at   TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'not before then; ahead while somebody is sending it',
    UNIQUE KEY webhook_deliveries_of (image_id, claim, target, event, person)
) CHARACTER SET utf8mb4 COLLATE {bin};

-- The last statement, and so the sign that all is done.
ALTER TABLE webhook_deliveries ADD KEY webhook_deliveries_due (target, due_at);
