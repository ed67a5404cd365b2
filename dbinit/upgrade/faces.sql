-- Every face that was found, and what people said about it.

CREATE TABLE IF NOT EXISTS faces (
    id        BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    image_id  INT               NOT NULL,
    position  SMALLINT UNSIGNED NOT NULL COMMENT 'among the faces of its image, the surest first',
    x         INT               NOT NULL COMMENT 'left edge of its box in the upright picture, in pixels',
    y         INT               NOT NULL,
    width     INT               NOT NULL,
    height    INT               NOT NULL,
    embedding VARBINARY(512)    NOT NULL COMMENT '128 little-endian singles',
    model     VARCHAR(64)       NOT NULL COMMENT 'of the embedding',
    sharpness FLOAT             NOT NULL COMMENT 'variance of the Laplacian',
    turned    FLOAT             NOT NULL COMMENT '0 looks straight ahead, 1 is a profile',
    gallery   BIGINT UNSIGNED   NOT NULL COMMENT 'the known people that it was compared with last',
    nearest   VARCHAR(255)      NULL     COMMENT 'the known picture nearest to it',
    distance  DOUBLE            NULL     COMMENT 'Euclidean distance to that',
    matches   BOOLEAN           NOT NULL COMMENT 'whether that is near enough',
    chosen    INT               NULL     COMMENT 'who it is by a person''s word; -1 is nobody; NULL when no person said anything',
    person    INT               NOT NULL DEFAULT -1 COMMENT 'who it is: chosen, or else whoever matches and was not rejected',
    stranger  BIGINT UNSIGNED   NULL     COMMENT 'the first of the unknown faces that look like this one',
    UNIQUE KEY faces_image (image_id, position),
    KEY faces_nearest (nearest),
    KEY faces_person (person, id),
    KEY faces_stranger (stranger, id)
) CHARACTER SET utf8mb4 COLLATE {bin};

CREATE TABLE IF NOT EXISTS face_rejections (
    face_id   BIGINT UNSIGNED NOT NULL,
    person_id INT             NOT NULL COMMENT 'whom it does not show, by a person''s word',
    PRIMARY KEY (face_id, person_id)
);

CREATE TABLE IF NOT EXISTS audit (
    id      BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at      TIMESTAMP(6)    NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    who     VARCHAR(64)     NOT NULL COMMENT 'name of the token that was used',
    action  VARCHAR(32)     NOT NULL,
    subject VARCHAR(64)     NOT NULL COMMENT 'like face 77 or person 3',
    detail  TEXT            NOT NULL COMMENT 'JSON: what is needed to undo it',
    KEY audit_subject (subject, id)
) CHARACTER SET utf8mb4 COLLATE {bin};

-- The last statement, and so the sign that all is done.
ALTER TABLE images
    ADD COLUMN width  INT NULL COMMENT 'of the upright picture, in pixels',
    ADD COLUMN height INT NULL,
    ADD KEY images_person (person, id);
