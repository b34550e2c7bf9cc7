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
