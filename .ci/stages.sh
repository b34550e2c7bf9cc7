# Stages of the gate: each prints its name and its time as it ends, and has a budget of seconds.
# shellcheck shell=bash
# Source it with `set -euo pipefail`. Ctrl-C and SIGTERM end what runs, and with it the script.

RUNNING=
declare -A BESIDE=() LOGS=()
trap 'exit 130' INT
trap 'exit 143' TERM
trap end_all EXIT

# stage NAME BUDGET COMMAND...: run it; a command that overruns is ended, and the stage fails.
stage() {
  local name=$1 budget=$2 began=$SECONDS status=0 took
  shift 2
  # INT, so that pytest removes the containers of its tests; what a script starts in the background
  # is deaf to it. In the background, since a shell hears no signal while it waits for a command.
  timeout --signal=INT --kill-after=60 "$budget" env --default-signal=INT "$@" </dev/null &
  RUNNING=$!
  wait "$RUNNING" || status=$?
  RUNNING=
  took=$((SECONDS - began))
  if [ "$status" -eq 0 ]; then
    echo "STAGE $name: $took s of $budget s"
  elif [ "$status" -eq 124 ] || [ "$took" -ge "$budget" ]; then
    echo "STAGE $name: OVERRAN its budget of $budget s"
  else
    echo "STAGE $name: FAILED with status $status after $took s"
  fi
  return "$status"
}

# beside NAME BUDGET COMMAND...: the same in the background; its output comes with `join NAME`.
beside() {
  LOGS[$1]=$(mktemp)
  stage "$@" >"${LOGS[$1]}" 2>&1 &
  BESIDE[$1]=$!
}

# join NAME: wait for it, print what it has said, and return its status.
join() {
  local status=0
  wait "${BESIDE[$1]}" || status=$?
  unset "BESIDE[$1]"
  show_log "$1"
  return "$status"
}

show_log() {
  cat "${LOGS[$1]}"
  rm -f "${LOGS[$1]}"
  unset "LOGS[$1]"
}

# However the script ends: nothing goes on without it, and nothing that failed stays unseen.
end_all() {
  local name
  [ -z "$RUNNING" ] || kill -INT "$RUNNING" 2>/dev/null || true
  for name in "${!BESIDE[@]}"; do
    pkill -INT -P "${BESIDE[$name]}" 2>/dev/null || true
  done
  wait
  for name in "${!LOGS[@]}"; do
    echo "STAGE $name: what it had said when the run ended:"
    show_log "$name"
  done
}
