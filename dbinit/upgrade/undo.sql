-- Which entry another one took back: each is taken back once, and none before what was said after it.

ALTER TABLE audit
    ADD COLUMN undoes BIGINT UNSIGNED NULL COMMENT 'the entry that this one took back',
    ADD UNIQUE KEY audit_undoes (undoes);
