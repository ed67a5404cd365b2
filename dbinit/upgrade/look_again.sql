-- Pictures that are looked at again, one by one or many of them in a run.

CREATE TABLE IF NOT EXISTS look_again_runs (
    id         INT UNSIGNED    NOT NULL AUTO_INCREMENT PRIMARY KEY,
    detector   VARCHAR(32)     NULL     COMMENT 'pictures that it looked at last are left out; NULL leaves none out',
    person     INT             NULL     COMMENT 'only pictures that show this person; NULL takes all',
    first_id   BIGINT UNSIGNED NOT NULL COMMENT 'only images from this id',
    last_id    BIGINT UNSIGNED NULL     COMMENT 'to this id; NULL takes all that were there at the start',
    next_id    BIGINT UNSIGNED NOT NULL COMMENT 'images with larger ids were taken or did not fit; smaller than first_id at the end',
    total      BIGINT UNSIGNED NOT NULL COMMENT 'images that fitted at the start',
    taken      BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'images that processors have claimed',
    state      TINYINT         NOT NULL DEFAULT 0 COMMENT '0 running, 1 done, 2 stopped',
    started_at TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    ended_at   TIMESTAMP(6)    NULL,
    KEY look_again_runs_state (state, id)
) CHARACTER SET utf8mb4 COLLATE {bin};

CREATE TABLE IF NOT EXISTS look_again_failures (
    image_id INT          NOT NULL PRIMARY KEY,
    run      INT UNSIGNED NOT NULL COMMENT '0 for an image that was asked for by itself',
    reason   VARCHAR(255) NOT NULL COMMENT 'why it could not be looked at again, in words',
    at       TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    KEY look_again_failures_run (run, image_id)
) CHARACTER SET utf8mb4 COLLATE {bin};

-- The last statement, and so the sign that all is done.
ALTER TABLE images
    ADD COLUMN look_again INT UNSIGNED NULL COMMENT 'set while a PROCESSED image waits for another look or is in it: its run, or 0',
    ADD KEY images_look_again (look_again);
