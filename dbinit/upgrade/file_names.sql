-- What an uploaded picture was called, whose path is its SHA-256.

ALTER TABLE images
    ADD COLUMN file_name VARCHAR(255) NULL COMMENT 'of an upload: what its file was called where it came from';
