#!/bin/sh
# rsync to a destination that takes no dump while there is a file `slow` beside the store.
set -eu

list=$(echo "$*" | sed -n 's/.*--files-from=\([^ ]*\).*/\1/p')
if [ -n "$list" ] && grep -q '/orders\.sql' "$list"; then
  while [ -e "$FOLDER/slow" ]; do
    touch "$FOLDER/waiting"
    sleep 0.1
  done
fi
exec /usr/bin/rsync "$@"
