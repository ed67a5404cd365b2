-- Faces that no detector found, and a person drew a box around.

ALTER TABLE faces
    ADD COLUMN drawn BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'whether a person drew its box, because no detector found it';
