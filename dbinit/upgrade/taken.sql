-- When a picture was taken, and the date by which pages and lists sort and find it.

ALTER TABLE images
    ADD COLUMN taken_at     DATETIME    NULL COMMENT 'what the camera showed when it was taken; NULL where that is not known',
    ADD COLUMN taken_offset SMALLINT    NULL COMMENT 'minutes that this was ahead of UTC, where the camera knew',
    ADD COLUMN shown_at     DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) COMMENT 'taken_at, or else created_at in UTC';
