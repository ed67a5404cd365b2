-- Which uploaded file an image has, however its path is spelled: the last part of it, where that is named as only uploads are.

ALTER TABLE images
    ADD COLUMN upload VARCHAR(70) AS (
        IF(CHAR_LENGTH(SUBSTRING_INDEX(SUBSTRING_INDEX(path, '/', -1), '.', 1)) = 64, LEFT(SUBSTRING_INDEX(path, '/', -1), 70), NULL)
    ) VIRTUAL COMMENT 'name of the uploaded file that it may have: SHA-256 and extension',
    ADD KEY images_upload (upload);
