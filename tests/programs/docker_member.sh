#!/bin/sh
# Docker on a database host of the lab, where the container of MySQL has another name.
set -eu

for argument; do
  shift
  [ "$argument" != order-service-mysql-1 ] || argument=$MYSQL
  set -- "$@" "$argument"
done
exec "$DOCKER" "$@"
