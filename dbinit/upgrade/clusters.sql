-- How many faces those clusters have that have several, so that the largest are found without counting all.

CREATE TABLE IF NOT EXISTS clusters (
    id    BIGINT UNSIGNED NOT NULL PRIMARY KEY COMMENT 'as in faces.stranger',
    faces INT UNSIGNED    NOT NULL COMMENT 'when they were last counted'
);

INSERT IGNORE INTO clusters (id, faces)
SELECT stranger, COUNT(*) FROM faces WHERE stranger IS NOT NULL GROUP BY stranger HAVING COUNT(*) > 1;

-- The last statement, and so the sign that all is done.
ALTER TABLE clusters
    ADD KEY clusters_faces (faces, id);
