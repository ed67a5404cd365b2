-- People are listed by their names, and found by a whole name, without reading all.

ALTER TABLE person
    ADD KEY person_name (name);
