-- The nearest of the unknown faces, and the most doubtful of a person's, are found without reading all of them.

ALTER TABLE faces
    ADD KEY faces_distance (person, chosen, distance);
