-- Which detector looked at an image, so that those of an earlier one can be looked at again.

ALTER TABLE images
    ADD COLUMN detector VARCHAR(32) NULL COMMENT 'what looked for faces on it, and how; NULL where an earlier version or the original looked',
    ADD KEY images_detector (detector, status, id);
