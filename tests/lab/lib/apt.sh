# shellcheck shell=bash
# Debian packages: this machine's own, and those of another suite.

# One broken source among several need not matter: what is missing shows at the install.
apt_update_once() {
  [ -z "${APT_UPDATED:-}" ] || return 0
  APT_UPDATED=1
  logged apt-update apt-get update || say "going on with the package lists that are there"
}

# apt_install PACKAGE...: what is installed already asks nothing of a mirror.
apt_install() {
  apt_installed "$@" && return
  apt_install_now "$@" 2>/dev/null && return
  apt_update_once
  apt_install_now "$@"
}

apt_installed() {
  # shellcheck disable=SC2016 # dpkg fills this in
  [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null | grep -cx installed)" -eq $# ]
}

apt_install_now() {
  logged apt-install env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"
}

# The mirror that this machine takes Debian from; empty on Ubuntu.
debian_mirror() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' | awk '$1 == "Debian" { print $2; exit }'
}

# apt_of SUITE ARGUMENT...: apt-get on an index of its own, so that the machine's
# stays as it is. Needs `scratch` and a mirror.
apt_of() {
  local suite="$1" root="$SCRATCH/apt-$1"
  shift
  if [ ! -d "$root" ]; then
    mkdir -p "$root/lists/partial" "$root/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
      "$(debian_mirror) $suite main" >"$root/sources.list"
    apt_of "$suite" update
  fi
  # A mirror's index of sid may be past its date; its signature still counts.
  apt-get -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$root/lists" -o Dir::Cache="$root" \
    -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Acquire::Check-Valid-Until=false "$@"
}
