#!/bin/bash
# Makes the database user that MYSQL_USERPASSWORD (or the file MYSQL_USERPASSWORD_FILE) names as user:password, with the
# rights that the services use and no more: they work on their rows and bring the schema up to date. A mysql container
# runs this once, while its volume is new.
(
    userpassword=${MYSQL_USERPASSWORD:-}
    [ -z "${MYSQL_USERPASSWORD_FILE:-}" ] || userpassword=$(<"$MYSQL_USERPASSWORD_FILE")
    [ -n "$userpassword" ] || exit 0

    literal() {
        local quote="'" text=${1//\\/\\\\}
        printf "'%s'" "${text//$quote/$quote$quote}"
    }
    user="$(literal "${userpassword%%:*}")@'%'"

    MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql -uroot <<SQL
CREATE USER IF NOT EXISTS $user IDENTIFIED BY $(literal "${userpassword#*:}");
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON \`$MYSQL_DATABASE\`.* TO $user;
SQL
)
