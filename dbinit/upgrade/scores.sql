-- How sure the detector is of each face.

ALTER TABLE faces
    ADD COLUMN score FLOAT NULL COMMENT 'how sure the detector is that it is a face, 0 to 1; NULL where an earlier version looked';
