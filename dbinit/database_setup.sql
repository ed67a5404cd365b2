-- The three tables of the Kube Cluster Sample and its sample people.
--
-- A new MySQL volume runs this file once; every service runs it again when it first meets a database, so
-- it changes nothing where its tables stand. From here the files of upgrade/ lead to today's schema: an empty
-- database, a new volume and one that the original filled all take the same way.

CREATE TABLE IF NOT EXISTS person (
    id   INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL
);

CREATE TABLE IF NOT EXISTS person_images (
    id         INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    image_name VARCHAR(255) NOT NULL,
    person_id  INT          NOT NULL
);

CREATE TABLE IF NOT EXISTS images (
    id     INT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    path   VARCHAR(255) NOT NULL,
    person INT,
    status INT
);

-- Only where nobody is known yet: someone's own people are never mixed with the sample's.
START TRANSACTION;
SET @nobody = (SELECT COUNT(*) = 0 FROM person);

INSERT INTO person (id, name)
SELECT sample.id, sample.name
FROM (
    SELECT 1 AS id, 'Hannibal' AS name
    UNION ALL SELECT 2, 'Skarlso'
    UNION ALL SELECT 3, 'John Doe'
    UNION ALL SELECT 4, 'Gergely'
) AS sample
WHERE @nobody;

INSERT INTO person_images (image_name, person_id)
SELECT sample.image_name, sample.person_id
FROM (
    SELECT 'hannibal_1.jpg' AS image_name, 1 AS person_id
    UNION ALL SELECT 'hannibal_2.jpg', 1
    UNION ALL SELECT 'skarlso_1.jpg', 2
    UNION ALL SELECT 'skarlso_2.jpg', 2
    UNION ALL SELECT 'john_doe_1.jpg', 3
    UNION ALL SELECT 'gergely_01.jpg', 4
) AS sample
WHERE @nobody AND NOT EXISTS (SELECT * FROM person_images);
COMMIT;
