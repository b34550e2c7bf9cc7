#!/bin/sh
# What credentials.py asks of Docker, for MySQL in the lab: its container has another name, the
# one-shot that makes secrets runs here, and the service's container is a file.
# CUT is a part of a command; the program that gives it is killed, `before` or `after` it is run.
set -eu

kill_program() { # MOMENT COMMAND...
  moment=$1
  shift
  case "$moment $*" in
    "${CUT_WHEN:-never} "*"${CUT:-}"*)
      kill -KILL "$PPID"
      exit 1
      ;;
  esac
}

run() {
  case "$*" in
    "compose "*" deploy/make_secrets.py"*)
      while [ "$1" != deploy/make_secrets.py ]; do shift; done
      shift
      "$PYTHON" "$SECRETS_PROGRAM" "$@"
      "$DOCKER" cp --quiet "$VOLUMES/mysql/." "$MYSQL:/run/secrets"
      ;;
    "exec order-service-mysql-1 "*)
      shift 2
      "$DOCKER" exec "$MYSQL" "$@"
      ;;
    "volume inspect "*"_service-secrets") echo "$VOLUMES/service" ;;
    "inspect --format {{.State.StartedAt}} "*) cat "$VOLUMES/started" ;;
    "inspect --format {{.State.Running}} order-service-mysql-1") echo true ;;
    "inspect "*) echo '[{"Id": "blue", "Config": {"Labels": {}}}]' ;;
    "ps "*"=order-service-blue") echo blue ;;
    *)
      echo "nobody has said what comes of docker $*" >&2
      exit 1
      ;;
  esac
}

kill_program before "$@"
run "$@"
kill_program after "$@"
