-- HEIC and AVIF are uploaded, too.

-- In one statement, so that the column is always there for services of the version before.
ALTER TABLE images
    DROP KEY images_upload,
    DROP COLUMN upload,
    ADD COLUMN upload CHAR(70) AS (NULLIF(REGEXP_SUBSTR(path, '[0-9a-f]{64}[.](jpg|png|webp|gif|bmp|tif|heic|avif)'), ''))
        VIRTUAL COMMENT 'name of the uploaded file that it may have: SHA-256 and extension',
    ADD KEY images_upload (upload);
