#!/bin/sh
# What the backups' programs ask of Docker: the volumes of secrets are folders, the service's
# container is a file, and all else is the lab's. Each command is written down, with `closed` before
# it while clients are turned away.
set -eu

last=$(for last; do :; done; echo "$last")
if [ -e "$FOLDER/upstream/maintenance.json" ]; then printf 'closed %s\n' "$*"; else printf 'open %s\n' "$*"; fi \
  >>"$FOLDER/docker.log"
case "$*" in
  "volume inspect "*) echo "$FOLDER/volumes/$last" ;;
  "ps --all "*=order-service-blue) echo blue-app-1 ;;
  "ps "*=order-service-blue) [ ! -e "$FOLDER/running" ] || echo blue-app-1 ;;
  "ps "*=order-service-green) ;;
  "stop "*blue-app-1) rm "$FOLDER/running" ;;
  "restart "*blue-app-1) touch "$FOLDER/running" ;;
  "inspect "*" blue-app-1") echo healthy ;;
  *) exec "$DOCKER" "$@" ;;
esac
