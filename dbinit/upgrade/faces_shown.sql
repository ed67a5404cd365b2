-- Photos of somebody are read in the order of their dates.
--
-- The first statement runs for 10,000 ids at a time, so that no row is locked for long.

UPDATE faces JOIN images ON images.id = faces.image_id SET faces.shown_at = images.shown_at
WHERE faces.id BETWEEN {first} AND {last} AND NOT faces.shown_at <=> images.shown_at;
{end of portion}
-- The last statement, and so the sign that all is done.
ALTER TABLE faces
    ADD KEY faces_shown (person, shown_at, image_id);
