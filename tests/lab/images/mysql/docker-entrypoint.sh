#!/usr/bin/env bash
# Does what the official image's documentation promises: an empty data folder is
# initialised from MYSQL_* variables and /docker-entrypoint-initdb.d, then the
# server replaces this script.
set -euo pipefail

log() { echo "$(date --utc +%FT%TZ) [entrypoint] $*" >&2; }

die() {
  log "ERROR: $*"
  exit 1
}

# from_file NAME: takes NAME from the file that NAME_FILE names.
from_file() {
  local name="$1" file_name="$1_FILE"
  [ -z "${!file_name:-}" ] || [ -z "${!name:-}" ] ||
    die "$name and $file_name are both set; set one of them"
  if [ -n "${!file_name:-}" ]; then
    [ -r "${!file_name}" ] || die "$file_name names ${!file_name}, which cannot be read"
    printf -v "$name" '%s' "$(<"${!file_name}")"
  fi
  export "$name=${!name:-}"
  unset "$file_name"
}

# setting NAME MYSQLD...: what this server's options and files make of NAME.
setting() {
  local name="$1"
  shift
  "$@" --verbose --help 2>/dev/null | sed -n "s/^$name  *//p"
}

text() {
  local value="${1//\\/\\\\}"
  echo "'${value//\'/\'\'}'"
}

name() { echo "\`${1//\`/\`\`}\`"; }

# Passwords go through a file descriptor: a process list shows command lines.
client() {
  mysql --defaults-extra-file=<(printf '[client]\npassword="%s"\n' "$(client_escaped)") \
    --protocol=socket --socket="$SOCKET" --user=root "$@"
}

client_escaped() {
  local value="${CLIENT_PASSWORD:-}"
  value="${value//\\/\\\\}"
  echo "${value//\"/\\\"}"
}

start_temporary_server() {
  "$@" --skip-networking --mysqlx=OFF --socket="$SOCKET" &
  SERVER=$!
  for ((tries = 0; tries < 600; tries++)); do
    client --execute 'DO 1' >/dev/null 2>&1 && return
    kill -0 "$SERVER" 2>/dev/null || die "the temporary server ended: see its messages above"
    sleep 0.1
  done
  die "the temporary server did not answer within a minute"
}

stop_temporary_server() {
  kill -TERM "$SERVER"
  wait "$SERVER" || die "the temporary server failed at its end: see its messages above"
}

require_root_password() {
  [ -n "$MYSQL_ROOT_PASSWORD$MYSQL_ALLOW_EMPTY_PASSWORD$MYSQL_RANDOM_ROOT_PASSWORD" ] ||
    die "the data folder is empty and root's password is not set; set one of" \
      "MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD and MYSQL_RANDOM_ROOT_PASSWORD"
  [ "$MYSQL_USER" != root ] || die "MYSQL_USER is root, which always exists; name another user"
}

create_accounts() {
  local password host="${MYSQL_ROOT_HOST:-%}" pattern
  if [ -n "$MYSQL_RANDOM_ROOT_PASSWORD" ]; then
    MYSQL_ROOT_PASSWORD="$(head -c 24 /dev/urandom | base64)"
    log "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
  fi
  password="$(text "$MYSQL_ROOT_PASSWORD")"
  {
    if [ "$host" != localhost ]; then
      echo "CREATE USER root@$(text "$host") IDENTIFIED BY $password;"
      echo "GRANT ALL ON *.* TO root@$(text "$host") WITH GRANT OPTION;"
    fi
    [ -z "$MYSQL_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS $(name "$MYSQL_DATABASE");"
    if [ -n "$MYSQL_USER" ] && [ -n "$MYSQL_PASSWORD" ]; then
      echo "CREATE USER $(text "$MYSQL_USER")@'%' IDENTIFIED BY $(text "$MYSQL_PASSWORD");"
      # In a grant _ stands for any character.
      pattern="$(name "${MYSQL_DATABASE//_/\\_}")"
      [ -z "$MYSQL_DATABASE" ] || echo "GRANT ALL ON $pattern.* TO $(text "$MYSQL_USER")@'%';"
    elif [ -n "$MYSQL_USER" ]; then
      log "WARNING: MYSQL_USER is set without MYSQL_PASSWORD; the user is not created"
    fi
    echo "ALTER USER root@localhost IDENTIFIED BY $password;"
  } | client
  CLIENT_PASSWORD="$MYSQL_ROOT_PASSWORD"
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    [ -e "$file" ] || continue
    log "running $file"
    case "$file" in
      *.sh)
        if [ -x "$file" ]; then
          "$file"
        else
          # shellcheck source=/dev/null
          source "$file"
        fi
        ;;
      *.sql) client ${MYSQL_DATABASE:+"--database=$MYSQL_DATABASE"} <"$file" ;;
      *.sql.gz) gunzip --stdout "$file" | client ${MYSQL_DATABASE:+"--database=$MYSQL_DATABASE"} ;;
      *) log "ignoring $file" ;;
    esac
  done
}

initialise() {
  require_root_password
  log "initialising $DATADIR"
  "$@" --initialize-insecure
  start_temporary_server "$@"
  create_accounts
  run_init_files
  stop_temporary_server
  log "initialised; starting the server"
}

wants_help() {
  local argument
  for argument in "$@"; do
    case "$argument" in
      -\? | --help | --print-defaults | -V | --version) return 0 ;;
    esac
  done
  return 1
}

main() {
  local variable
  [ "${1:0:1}" != - ] || set -- mysqld "$@"
  if [ "${1:-}" != mysqld ] || wants_help "$@"; then
    exec "$@"
  fi

  DATADIR="$(setting datadir "$@")"
  SOCKET="$(setting socket "$@")"
  # What follows changes owners: nothing but a full path may get there.
  [[ "$DATADIR" = /?* && "$SOCKET" = /?*/* ]] ||
    die "mysqld does not accept its options: $("$@" --verbose --help 2>&1 >/dev/null | tail -n 3)"
  DATADIR="${DATADIR%/}"

  if [ "$(id -u)" -eq 0 ]; then
    mkdir -p "$DATADIR"
    find "$DATADIR" "$(dirname "$SOCKET")" ! -user mysql -exec chown mysql: {} +
    exec setpriv --reuid=mysql --regid=mysql --init-groups "${BASH_SOURCE[0]}" "$@"
  fi

  for variable in MYSQL_ROOT_PASSWORD MYSQL_DATABASE MYSQL_USER MYSQL_PASSWORD MYSQL_ROOT_HOST \
    MYSQL_ALLOW_EMPTY_PASSWORD MYSQL_RANDOM_ROOT_PASSWORD; do
    from_file "$variable"
  done
  [ -d "$DATADIR/mysql" ] || initialise "$@"
  exec "$@"
}

main "$@"
