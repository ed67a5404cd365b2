-- The reference photos of one person are found without reading all.

ALTER TABLE person_images
    ADD KEY person_images_person (person_id, id);
