-- Images are found and sorted by the date on which they were taken, or else posted.
--
-- Those of before were posted before the column came. The first statement runs for 10,000 ids at a time, so that no row
-- is locked for long.

UPDATE images SET shown_at = created_at, updated_at = updated_at
WHERE id BETWEEN {first} AND {last} AND taken_at IS NULL AND shown_at <> created_at;
{end of portion}
-- The last statement, and so the sign that all is done.
ALTER TABLE images
    ADD KEY images_shown (shown_at, id);
