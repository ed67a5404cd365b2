-- Images are looked for by the day on which they were posted.

ALTER TABLE images
    ADD KEY images_created (created_at);
