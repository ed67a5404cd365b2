-- Who is on the sample photographs of known people: compose.yaml gives this to a new MySQL volume, after
-- dbinit/database_setup.sql.

INSERT INTO person (name) VALUES ('Barack Obama');
INSERT INTO person_images (image_name, person_id) VALUES ('obama.jpg', LAST_INSERT_ID());

INSERT INTO person (name) VALUES ('Joe Biden');
INSERT INTO person_images (image_name, person_id) VALUES ('biden.jpg', LAST_INSERT_ID());
