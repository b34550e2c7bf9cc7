#!/bin/sh
# Has nginx use another certificate within seconds, without a restart. On a deployed host the
# command `certificate` does that, and this is left out.
set -eu

in_place() {
  cat /etc/nginx/certificates/tls.* /etc/nginx/certificates/hsts.conf 2>/dev/null | sha256sum
}

reload() {
  nginx -c /etc/nginx/service/nginx.conf -t -q && nginx -c /etc/nginx/service/nginx.conf -s reload
}

# In its own process beside nginx. A pair that nginx refuses is tried again.
(
  used="$(in_place)"
  while sleep 5; do
    found="$(in_place)"
    [ "$found" = "$used" ] || { reload && used="$found"; } || true
  done
) &
