# shellcheck shell=bash
# A minimal Debian of any suite as an image, for the stand-ins to build on.

build_base() {
  local suite="$1" image="$2" key="$3" root
  apt_install debootstrap
  [ -n "$(debian_mirror)" ] || apt_update_once
  scratch
  root="$SCRATCH/root-$suite"
  # The mirror may be empty: debootstrap then takes its own default.
  # shellcheck disable=SC2046
  logged "debootstrap-$suite" debootstrap --variant=minbase --include=ca-certificates \
    "$suite" "$root" $(debian_mirror)
  trim_base "$root"
  tar -C "$root" --exclude=./dev --exclude=./proc --exclude=./sys -c . |
    docker import --change "LABEL $RECIPE_LABEL=$key" --change 'CMD ["bash"]' - "$image" >/dev/null
  rm -rf --one-file-system "$root"
}

trim_base() {
  local root="$1"
  # Packages start nothing while an image is built, and leave no archives in it.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cat >"$root/etc/apt/apt.conf.d/90lab" <<'CONF'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
CONF
  # Mirrors may be signed by an authority that only this machine knows.
  if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/lab-host-ca.crt"
    echo 'Acquire::https::CAInfo "/etc/ssl/certs/lab-host-ca.crt";' \
      >>"$root/etc/apt/apt.conf.d/90lab"
  fi
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin \
    "$root"/var/cache/apt/archives/*.deb
}
