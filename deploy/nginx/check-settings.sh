#!/bin/sh
# Refuses settings that nginx would refuse with less to go by, or would take in another sense; then
# writes what depends on more than the words of a template.
set -euf

CONFIGURATION="${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}"
# Of all workers together: what an idle client costs, some 20 KB, has its bound there.
CONNECTIONS=4096

refuse() {
  echo "nginx: $1: '$2' is not allowed; expected $3" >&2
  exit 1
}

is_number() {
  case "$1" in
    '' | 0* | *[!0-9]*) return 1 ;;
  esac
}

# All of the Internet, /0, is nobody's proxy.
is_network() {
  byte='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
  echo "$1" | grep -Eqx \
    -e "($byte\\.){3}$byte(/([1-9]|[12][0-9]|3[0-2]))?" \
    -e '([0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?'
}

write() {
  cat >"$CONFIGURATION/$1"
}

listen_on() {
  echo "listen $1 $2;"
  # A kernel without IPv6 has no such sockets.
  [ ! -e /proc/net/if_inet6 ] || echo "listen [::]:$1 $2;"
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
case "$NGINX_WORKERS" in
  [1-9] | 1[0-6]) ;;
  *) refuse NGINX_WORKERS "$NGINX_WORKERS" "a number from 1 to 16" ;;
esac
networks="$(echo "$TRUSTED_PROXIES" | tr ',' ' ')"
for network in $networks; do
  is_network "$network" || refuse TRUSTED_PROXIES "$TRUSTED_PROXIES" \
    "networks such as 10.0.0.0/8 or 2001:db8::/32, separated by commas, and none of /0"
done
case "$PROXY_PROTOCOL" in
  off) listen=default_server header=X-Forwarded-For ;;
  on) listen="default_server proxy_protocol" header=proxy_protocol ;;
  *) refuse PROXY_PROTOCOL "$PROXY_PROTOCOL" "on or off" ;;
esac
[ "$PROXY_PROTOCOL" = off ] || [ -n "$networks" ] ||
  refuse TRUSTED_PROXIES "$TRUSTED_PROXIES" "who speaks the PROXY protocol, since PROXY_PROTOCOL is on"

echo "worker_processes $NGINX_WORKERS;" | write workers
echo "worker_connections $((CONNECTIONS / NGINX_WORKERS));" | write connections
{
  # Nobody else's word counts, and of what a proxy says, the last address that is no proxy's.
  for network in $networks; do
    echo "set_real_ip_from $network;"
  done
  echo "real_ip_header $header;"
  echo "real_ip_recursive on;"
  # Who speaks for itself, and is a proxy.
  echo "geo \$is_proxy {"
  echo "default 0;"
  for network in 127.0.0.0/8 ::1 $networks; do
    echo "$network 1;"
  done
  echo "}"
} | write trusted-proxies
listen_on 8080 "$listen" | write http-listen
listen_on 8443 "ssl $listen" | write https-listen
