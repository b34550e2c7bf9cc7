#!/bin/sh
# Refuses settings that nginx would refuse with less to go by, or would take in another sense.
set -eu

refuse() {
  echo "nginx: $1: '$2' is not allowed; expected $3" >&2
  exit 1
}

is_number() {
  case "$1" in
    '' | 0* | *[!0-9]*) return 1 ;;
  esac
}

case "$PLAIN_HTTP" in
  redirect | serve) ;;
  *) refuse PLAIN_HTTP "$PLAIN_HTTP" "redirect or serve" ;;
esac
is_number "$HTTPS_PORT" || refuse HTTPS_PORT "$HTTPS_PORT" "a port number"
is_number "$LIMIT_REQUESTS_PER_SECOND" ||
  refuse LIMIT_REQUESTS_PER_SECOND "$LIMIT_REQUESTS_PER_SECOND" "a number from 1 on"
is_number "$LIMIT_CONNECTIONS" ||
  refuse LIMIT_CONNECTIONS "$LIMIT_CONNECTIONS" "a number from 1 on"
is_number "$LIMIT_FAILED_LOGINS" ||
  refuse LIMIT_FAILED_LOGINS "$LIMIT_FAILED_LOGINS" "a number from 1 on"
