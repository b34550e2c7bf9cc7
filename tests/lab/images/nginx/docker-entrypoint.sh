#!/usr/bin/env bash
# Prepares the configuration with what lies in /docker-entrypoint.d, in order of
# name, then becomes nginx (or whatever command was given).
set -euo pipefail

if [[ "${1:-}" = nginx || "${1:-}" = nginx-debug ]]; then
  for file in /docker-entrypoint.d/*; do
    [ -z "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] && echo "$0: $file" >&2
    case "$file" in
      *.envsh)
        # shellcheck source=/dev/null
        [ ! -x "$file" ] || source "$file"
        ;;
      *.sh) [ ! -x "$file" ] || "$file" ;;
    esac
  done
fi

exec "$@"
