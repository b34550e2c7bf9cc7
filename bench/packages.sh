#!/usr/bin/env bash
# The bench's programs: wrk makes the load, and redis-server serves Celery. As root on Debian they
# are installed, elsewhere they are asked for.
set -euo pipefail

LAB_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/lab" && pwd)"
CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/order-service-lab"
# shellcheck source=tests/lab/lib/common.sh
source "$LAB_DIR/lib/common.sh"
# shellcheck source=tests/lab/lib/apt.sh
source "$LAB_DIR/lib/apt.sh"

command -v wrk >/dev/null && command -v redis-server >/dev/null && exit
if ! can_install; then
  echo "bench: wrk and redis-server are needed: apt-get install wrk redis-server" >&2
  exit 1
fi
# The bench starts a Redis of its own: the package's is not started, as in a rescue.
export RUNLEVEL=1
apt_install wrk redis-server
