-- Which uploaded file an image has, however its path is spelled: what is named in it as only uploads are.

ALTER TABLE images
    ADD COLUMN upload VARCHAR(70) AS (IF(path RLIKE '(^|/)[0-9a-f]{64}[.](jpg|png|webp|gif|bmp|tif)$', SUBSTRING_INDEX(path, '/', -1), NULL))
        VIRTUAL COMMENT 'name of the uploaded file that it may have: SHA-256 and extension',
    ADD KEY images_upload (upload);
