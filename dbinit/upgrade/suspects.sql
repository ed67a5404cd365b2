-- Images that may be what kills face-recog are tried apart from others.

ALTER TABLE images
    ADD COLUMN suspect BOOLEAN NOT NULL DEFAULT FALSE COMMENT 'whether a call for it broke off: it is tried apart from others';
