# Stages of the gate: each prints its name and its time as it ends, and has a budget of seconds.
# shellcheck shell=bash
# Source it with `set -euo pipefail`.

# stage NAME BUDGET COMMAND...: run it; a command that overruns is ended, and the stage fails.
stage() {
  local name=$1 budget=$2 began=$SECONDS status=0
  shift 2
  # INT, so that pytest removes the containers of its tests; what began us may be deaf to it.
  timeout --signal=INT --kill-after=60 "$budget" env --default-signal=INT "$@" </dev/null ||
    status=$?
  case $status in
    0) echo "STAGE $name: $((SECONDS - began)) s of $budget s" ;;
    124 | 137) echo "STAGE $name: OVERRAN its budget of $budget s" ;;
    *) echo "STAGE $name: FAILED with status $status after $((SECONDS - began)) s" ;;
  esac
  return "$status"
}

# beside NAME BUDGET COMMAND...: the same in the background; its output comes with `join NAME`.
declare -A STAGE_PIDS=() STAGE_LOGS=()
beside() {
  STAGE_LOGS[$1]=$(mktemp)
  stage "$@" >"${STAGE_LOGS[$1]}" 2>&1 &
  STAGE_PIDS[$1]=$!
}

# join NAME: wait for it, print what it has said, and return its status.
join() {
  local status=0
  wait "${STAGE_PIDS[$1]}" || status=$?
  cat "${STAGE_LOGS[$1]}"
  rm -f "${STAGE_LOGS[$1]}"
  unset "STAGE_PIDS[$1]" "STAGE_LOGS[$1]"
  return "$status"
}

# end_all: end what still runs beside; for a trap.
end_all() {
  local pid
  for pid in "${STAGE_PIDS[@]}"; do
    pkill -INT -P "$pid" 2>/dev/null || true
  done
  wait
}
