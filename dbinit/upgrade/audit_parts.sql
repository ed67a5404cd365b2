-- What was done with another change, and is undone with it: the picture by which somebody is known who was named.

ALTER TABLE audit
    ADD COLUMN part_of BIGINT UNSIGNED NULL COMMENT 'the entry that this was done with, and is undone with',
    ADD KEY audit_part_of (part_of);
