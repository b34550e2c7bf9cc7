# shellcheck shell=bash
# What deployed hosts' backups are packed and copied with, since the tests run those programs here,
# too; and what Ansible logs in to hosts with.

TOOLS="zstd age rsync ssh ssh-keygen"
TOOL_PACKAGES="zstd age rsync openssh-client"

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

# sid's need nothing but a C library that Debian 12 has, too. Ubuntu has its own.
fetch_prometheus() {
  local packages="prometheus prometheus-alertmanager prometheus-node-exporter" archive
  scratch
  mkdir "$SCRATCH/prometheus"
  cd "$SCRATCH/prometheus" || return 1
  if is_debian; then
    [ -n "$(debian_mirror)" ] || apt_update_once
    # shellcheck disable=SC2086 # a list
    logged prometheus apt_of sid download $packages promtool
  else
    # shellcheck disable=SC2086 # a list
    logged prometheus apt-get download $packages
  fi
  cd - >/dev/null || return 1
  rm -rf --one-file-system "$PROMETHEUS_DIR"
  for archive in "$SCRATCH"/prometheus/*.deb; do
    dpkg -x "$archive" "$PROMETHEUS_DIR"
  done
}
