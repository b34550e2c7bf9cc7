#!/usr/bin/env bash
# /etc/nginx/templates/NAME.template becomes /etc/nginx/conf.d/NAME, with the
# variables of the environment filled in and every other $name left to nginx.
set -euo pipefail

templates="${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}"
suffix="${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}"
output="${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}"
filter="${NGINX_ENVSUBST_FILTER:-}"

[ -d "$templates" ] || exit 0
if [ ! -w "$output" ]; then
  echo "$0: ERROR: $output is not writable; the templates in $templates are not used" >&2
  exit 0
fi

# shellcheck disable=SC2016 # envsubst wants the names as ${NAME}
defined="$(env --null | cut --zero-terminated --delimiter== --fields=1 | tr '\0' '\n' |
  grep -E "^[A-Za-z_][A-Za-z0-9_]*$" | grep -E "$filter" | sed 's/.*/${&}/' || true)"

find "$templates" -follow -type f -name "*$suffix" -print0 | while IFS= read -r -d '' template; do
  name="${template#"$templates"/}"
  target="$output/${name%"$suffix"}"
  mkdir -p "$(dirname "$target")"
  envsubst "$defined" <"$template" >"$target"
done
