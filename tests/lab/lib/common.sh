# shellcheck shell=bash
# What every part of the lab uses: messages, deadlines, the lock, scratch space.

say() { echo "lab: $*"; }

die() {
  echo "lab: $*" >&2
  exit 1
}

step_begin() { STEP_START=$SECONDS; }
step_end() { say "$* ($((SECONDS - STEP_START)) s)"; }

# wait_until SECONDS COMMAND...: polls the command; non-zero when time is up.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}

# at_most SECONDS COMMAND...: macOS has no `timeout`; there the command takes its time.
at_most() {
  if command -v timeout >/dev/null; then
    timeout "$@"
  else
    "${@:2}"
  fi
}

# logged NAME COMMAND...: keeps a long command's output out of sight unless it fails.
logged() {
  local log="$CACHE_DIR/logs/$1.log"
  shift
  mkdir -p "$CACHE_DIR/logs"
  "$@" >"$log" 2>&1 && return
  echo "lab: failed: $* (the end of $log follows)" >&2
  tail -n 25 "$log" >&2
  return 1
}

# Two runs at once would build the same image twice; the second waits instead.
one_at_a_time() {
  command -v flock >/dev/null || return 0
  exec 9>"$CACHE_DIR/lock"
  flock -n 9 || {
    say "another run is at work; waiting for it"
    flock -w 1800 9 || die "waited 30 minutes for another run; see who holds $CACHE_DIR/lock"
  }
}

# Debian and its kin, as root: there the lab may install and build.
can_install() {
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null &&
    grep -Eqs '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

is_debian() { grep -qsx 'ID=debian' /etc/os-release; }

# Scratch space that is gone when the script ends, however it ends.
scratch() {
  if [ -z "${SCRATCH:-}" ]; then
    SCRATCH="$(mktemp -d)"
    trap 'rm -rf --one-file-system "$SCRATCH"' EXIT
  fi
}
