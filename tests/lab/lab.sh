#!/usr/bin/env bash
# Gives this machine what the container tests need: a Docker engine, Compose,
# buildx, the backups' tools, a browser and the base images. Run it as often as you like: what is
# there stays.
#
#   tests/lab/lab.sh             everything
#   tests/lab/lab.sh mysql ...   only these images (folders of tests/lab/images)
set -euo pipefail

LAB_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
CACHE_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/order-service-lab"

# shellcheck source=tests/lab/lib/common.sh
source "$LAB_DIR/lib/common.sh"
# shellcheck source=tests/lab/lib/apt.sh
source "$LAB_DIR/lib/apt.sh"
# shellcheck source=tests/lab/lib/engine.sh
source "$LAB_DIR/lib/engine.sh"
# shellcheck source=tests/lab/lib/plugins.sh
source "$LAB_DIR/lib/plugins.sh"
# shellcheck source=tests/lab/lib/tools.sh
source "$LAB_DIR/lib/tools.sh"
# shellcheck source=tests/lab/lib/browser.sh
source "$LAB_DIR/lib/browser.sh"
# shellcheck source=tests/lab/lib/base.sh
source "$LAB_DIR/lib/base.sh"
# shellcheck source=tests/lab/lib/images.sh
source "$LAB_DIR/lib/images.sh"
# shellcheck source=tests/lab/lib/registry.sh
source "$LAB_DIR/lib/registry.sh"

main() {
  local names=("$@") name
  if [ ${#names[@]} -eq 0 ]; then
    for name in "$LAB_DIR"/images/*/recipe.sh; do
      names+=("$(basename "$(dirname "$name")")")
    done
  fi
  for name in "${names[@]}"; do
    [ -f "$LAB_DIR/images/$name/recipe.sh" ] ||
      die "there is no image '$name'; expected one of: $(ls "$LAB_DIR/images")"
  done

  engine_answers || require_installable
  mkdir -p "$CACHE_DIR"
  one_at_a_time
  ensure_engine
  ensure_plugins
  ensure_hosts_compose
  ensure_tools
  ensure_browser
  ensure_prometheus
  ensure_pebble
  for name in "${names[@]}"; do
    ensure_image "$name"
  done
  [ $# -gt 0 ] || ensure_registry
  say "ready after ${SECONDS} s"
}

main "$@"
