# shellcheck shell=bash
# The Docker engine: the one that answers, else Debian's, started here.

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ensure_engine() {
  step_begin
  if ! engine_answers; then
    require_installable
    install_engine
    start_engine
  fi
  step_end "Docker engine $(docker version --format '{{.Server.Version}}') answers"
}

require_installable() {
  local reason
  reason="$(docker version 2>&1 >/dev/null | tail -n 1 || true)"
  [ -z "${DOCKER_HOST:-}" ] ||
    die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST ($reason):" \
      "start it, or unset DOCKER_HOST"
  can_install || die "no Docker engine answers here (${reason:-there is no docker client})," \
    "and it can only be installed on Debian or Ubuntu as root: start Docker (20.10 or later," \
    "with Compose and buildx), or run this as root there"
}

install_engine() {
  apt_install docker.io iproute2 iptables ca-certificates ||
    die "the Docker engine could not be installed: see the apt message above"
  # From Debian 13 on, the client is a package of its own.
  command -v docker >/dev/null || apt_install docker-cli
}

start_engine() {
  local log="$CACHE_DIR/dockerd.log"
  if [ -d /run/systemd/system ]; then
    systemctl start docker
  else
    drop_stale_pid /var/run/docker.pid dockerd
    drop_stale_pid /var/run/docker/containerd/containerd.pid containerd
    # Without the lock (9), or this engine would hold it as long as it lives.
    setsid nohup dockerd >>"$log" 2>&1 </dev/null 9>&- &
    echo $! >"$CACHE_DIR/dockerd.pid"
  fi
  wait_until 60 engine_answers && return
  [ ! -f "$log" ] || tail -n 25 "$log" >&2
  die "the Docker engine did not answer within 60 s of its start: see its log above"
}

# A machine that was switched off leaves pid files behind, and the engine does not
# start while any process has such a number.
drop_stale_pid() {
  local file="$1" command="$2"
  [ -f "$file" ] || return 0
  [ "$(cat "/proc/$(cat "$file")/comm" 2>/dev/null)" = "$command" ] || rm -f "$file"
}
