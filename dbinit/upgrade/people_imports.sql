-- Imports of people from a folder of labelled pictures: how far they are, and what became of each picture.

CREATE TABLE IF NOT EXISTS people_imports (
    id         INT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    folder     VARCHAR(255)  NOT NULL COMMENT 'in the folder of unknown people; each folder in it is called as a person',
    dry_run    BOOLEAN       NOT NULL COMMENT 'whether it only tells what would become of the pictures',
    who        VARCHAR(64)   NOT NULL COMMENT 'name of the token that was used',
    total      INT UNSIGNED  NULL     COMMENT 'pictures that were there at the start, once they are counted',
    looked_at  INT UNSIGNED  NOT NULL DEFAULT 0 COMMENT 'pictures that were looked at',
    last_name  VARCHAR(255)  NULL     COMMENT 'while it runs: the folder of the last of them',
    last_file  VARCHAR(255)  NULL     COMMENT 'its file',
    state      TINYINT       NOT NULL DEFAULT 0 COMMENT '0 running, 1 done, 2 stopped',
    problem    VARCHAR(1000) NULL     COMMENT 'why it cannot go on now, in words',
    started_at TIMESTAMP(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    ended_at   TIMESTAMP(6)  NULL,
    KEY people_imports_state (state, id)
) CHARACTER SET utf8mb4 COLLATE {bin};

CREATE TABLE IF NOT EXISTS people_import_pictures (
    import  INT UNSIGNED  NOT NULL,
    number  INT UNSIGNED  NOT NULL COMMENT 'in the order in which they were looked at, from 1 on',
    name    VARCHAR(255)  NOT NULL COMMENT 'of the folder that it is in',
    file    VARCHAR(255)  NOT NULL,
    outcome TINYINT       NOT NULL COMMENT '0 enrolled, 1 enrolled before, 2 refused',
    person  INT           NULL     COMMENT 'whose it is, or would have been',
    reason  VARCHAR(1000) NULL     COMMENT 'why it was refused, in words',
    PRIMARY KEY (import, number),
    KEY people_import_pictures_name (import, name),
    KEY people_import_pictures_outcome (import, outcome, number),
    KEY people_import_pictures_person (person)
) CHARACTER SET utf8mb4 COLLATE {bin};

-- The name itself is forgotten; whoever knows it can tell that it is this one.
CREATE TABLE IF NOT EXISTS people_import_erased (
    import INT UNSIGNED NOT NULL COMMENT 'a run that is running',
    mark   CHAR(64)     NOT NULL COMMENT 'SHA-256 of the name of somebody who was erased since it began, in small letters',
    PRIMARY KEY (import, mark),
    KEY people_import_erased_mark (mark)
) CHARACTER SET utf8mb4 COLLATE {bin};
