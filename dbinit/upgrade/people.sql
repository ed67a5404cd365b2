-- Names of people and of their pictures in any script; picture names exact to the byte (see images.sql for {bin}).

ALTER TABLE person CONVERT TO CHARACTER SET utf8mb4;

ALTER TABLE person_images
    CONVERT TO CHARACTER SET utf8mb4 COLLATE {bin},
    ADD KEY person_images_image_name (image_name);
