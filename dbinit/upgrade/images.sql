-- The original's table images becomes today's. Run by the services themselves (common/src/db/schema.rs),
-- under a lock and once; interrupted anywhere, it may run again from the start.
--
-- {bin} stands for the server's binary collation that does not ignore trailing blanks: utf8mb4_0900_bin
-- on MySQL, utf8mb4_nopad_bin on MariaDB. With it A and a, e and é, 'x' and 'x ' are different paths.

-- The original could store a path twice. The row that is furthest along stays; what goes is kept here.
CREATE TABLE IF NOT EXISTS images_dropped (
    id      INT          NOT NULL PRIMARY KEY,
    path    VARCHAR(255) NOT NULL,
    person  INT,
    status  INT,
    kept_id INT          NOT NULL
) CHARACTER SET utf8mb4 COLLATE {bin};

START TRANSACTION;

-- The original fails on NULL.
UPDATE images SET person = -1 WHERE person IS NULL;
UPDATE images SET status = 0 WHERE status IS NULL OR status NOT IN (0, 1, 2, 3);

INSERT IGNORE INTO images_dropped (id, path, person, status, kept_id)
SELECT id, path, person, status, kept_id
FROM (
    SELECT id, path, person, status,
           FIRST_VALUE(id) OVER (
               PARTITION BY CONVERT(path USING utf8mb4) COLLATE {bin}
               ORDER BY FIELD(status, 1, 2, 3, 0), person = -1, id
           ) AS kept_id
    FROM images
) AS ranked
WHERE id <> kept_id;

DELETE images FROM images JOIN images_dropped ON images.id = images_dropped.id;

COMMIT;

-- One statement, so that the table is either the original's or ours, never something between.
ALTER TABLE images
    CONVERT TO CHARACTER SET utf8mb4 COLLATE {bin},
    ALTER COLUMN person SET DEFAULT -1,
    MODIFY status INT NOT NULL DEFAULT 0,
    ADD COLUMN distance      DOUBLE          NULL     COMMENT 'Euclidean distance to the nearest known face',
    ADD COLUMN reason        VARCHAR(255)    NULL     COMMENT 'why it failed, or why nobody was named, in words',
    ADD COLUMN attempts      INT             NOT NULL DEFAULT 0 COMMENT 'failed tries so far',
    ADD COLUMN redeemable    BOOLEAN         NOT NULL DEFAULT TRUE COMMENT 'whether another try can help a failed image',
    ADD COLUMN redeems       INT             NOT NULL DEFAULT 0 COMMENT 'how often it failed for good and was brought back',
    ADD COLUMN claim         BIGINT UNSIGNED NULL     COMMENT 'token of its last claim',
    ADD COLUMN claimed_until TIMESTAMP(6)    NULL     COMMENT 'end of the lease',
    ADD COLUMN created_at    TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    ADD COLUMN updated_at    TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    ADD UNIQUE KEY images_path (path),
    ADD KEY images_waiting (status, updated_at);
