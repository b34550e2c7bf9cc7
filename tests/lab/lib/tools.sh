# shellcheck shell=bash
# What deployed hosts' backups are packed and copied with, since the tests run those programs here,
# too; and what Ansible logs in to hosts with.

TOOLS="zstd age rsync rclone ssh ssh-keygen"
TOOL_PACKAGES="zstd age rsync rclone openssh-client"

ensure_tools() {
  step_begin
  tools_there || {
    can_install ||
      die "one of these is missing: $TOOLS. Install them, or run this as root on Debian or Ubuntu"
    # shellcheck disable=SC2086 # a list
    apt_install $TOOL_PACKAGES ||
      die "$TOOL_PACKAGES could not be installed: see the apt message above"
  }
  step_end "$TOOLS are there"
}

tools_there() {
  local tool
  for tool in $TOOLS; do
    command -v "$tool" >/dev/null || return 1
  done
}

# Prometheus, promtool, Alertmanager and the node exporter, for the tests of deploy/monitoring: in
# a folder of their own, so that nothing is installed, and no unit of theirs starts.
PROMETHEUS_DIR="$CACHE_DIR/prometheus"
PROMETHEUS_TOOLS="prometheus promtool prometheus-alertmanager amtool prometheus-node-exporter"

ensure_prometheus() {
  step_begin
  prometheus_there || {
    can_install || die "Prometheus' programs are missing: run this as root on Debian or Ubuntu"
    fetch_prometheus
  }
  prometheus_there || die "Prometheus was fetched, but does not run: see $PROMETHEUS_DIR"
  step_end "Prometheus $(prometheus_version) is there"
}

prometheus_there() {
  local tool
  for tool in $PROMETHEUS_TOOLS; do
    "$PROMETHEUS_DIR/usr/bin/$tool" --version >/dev/null 2>&1 || return 1
  done
}

prometheus_version() {
  "$PROMETHEUS_DIR/usr/bin/prometheus" --version 2>&1 | sed -n 's/^prometheus, version \([0-9.]*\).*/\1/p'
}

fetch_prometheus() {
  local packages="prometheus prometheus-alertmanager prometheus-node-exporter"
  if is_debian; then
    packages+=" promtool"
  fi
  # shellcheck disable=SC2086 # a list
  fetch_packages "$PROMETHEUS_DIR" $packages
}

# An ACME authority for the tests of certificates, and a DNS server for it.
PEBBLE_DIR="$CACHE_DIR/pebble"

ensure_pebble() {
  step_begin
  pebble_there || {
    can_install || die "pebble is missing: run this as root on Debian or Ubuntu"
    fetch_packages "$PEBBLE_DIR" pebble
  }
  pebble_there || die "pebble was fetched, but does not run: see $PEBBLE_DIR"
  step_end "pebble is there"
}

pebble_there() {
  "$PEBBLE_DIR/usr/bin/pebble" -version >/dev/null 2>&1
}

# fetch_packages FOLDER PACKAGE...: unpacks them there, and installs nothing. sid's need nothing but
# a C library that Debian 12 has, too. Ubuntu has its own.
fetch_packages() {
  local folder="$1" name archive
  name="$(basename "$folder")"
  shift
  scratch
  mkdir "$SCRATCH/$name"
  cd "$SCRATCH/$name" || return 1
  if is_debian; then
    [ -n "$(debian_mirror)" ] || apt_update_once
    logged "$name" apt_of sid download "$@"
  else
    logged "$name" apt-get download "$@"
  fi
  cd - >/dev/null || return 1
  rm -rf --one-file-system "$folder"
  for archive in "$SCRATCH/$name"/*.deb; do
    dpkg -x "$archive" "$folder"
  done
}
