-- Which uploaded file an image has, however its path is spelled: what is named in it as only uploads are.

ALTER TABLE images
    ADD COLUMN upload VARCHAR(70) AS (NULLIF(REGEXP_SUBSTR(path, '[0-9a-f]{64}[.](jpg|png|webp|gif|bmp|tif)'), ''))
        VIRTUAL COMMENT 'name of the uploaded file that it may have: SHA-256 and extension',
    ADD KEY images_upload (upload);
