-- What undoes the naming of a stranger lists every face of them: more than 64 KiB, perhaps.

ALTER TABLE audit
    MODIFY detail MEDIUMTEXT NOT NULL COMMENT 'JSON: what is needed to undo it';
