#!/bin/sh
# Stands before the server in PATH: the image's entrypoint exports what it reads from files, and
# whatever looks at the server's environment would find root's password there.
unset MYSQL_ROOT_PASSWORD
exec /usr/sbin/mysqld "$@"
