-- The date of its image stands beside each face, so that photos of somebody are found in the order of their dates. Without
-- a default that is computed the column is added at once, however many faces there are.

ALTER TABLE faces
    ADD COLUMN shown_at DATETIME(6) NULL COMMENT 'as in images; NULL where an earlier version stored the face, until it is settled';
