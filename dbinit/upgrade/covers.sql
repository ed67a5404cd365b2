-- Who is hidden on pages, and the face by which somebody is shown there.

ALTER TABLE person
    ADD COLUMN hidden BOOLEAN         NOT NULL DEFAULT FALSE COMMENT 'neither listed nor suggested on pages; still recognised',
    ADD COLUMN cover  BIGINT UNSIGNED NULL     COMMENT 'the face that shows them; NULL for the best one';
