-- The same for photos without faces: the original's processor looked at them.

ALTER TABLE images
    ADD KEY images_person_shown (person, shown_at, id);
