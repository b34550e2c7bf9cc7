#!/usr/bin/env bash
# The gate's tests, the cheapest first: every promise once. `CI=true make test` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/stages.sh
export CI=true
tests() { # stage|beside NAME BUDGET FOLDER... [OPTION...]
  local how=$1 name=$2 budget=$3
  shift 3
  "$how" "$name" "$budget" .venv/bin/pytest --set=gate "$@"
}
# These leave a processor waiting most of the time, so two of them at once. A file stays together.
two=(-n 2 --dist loadfile)
tests stage unit 150 tests/unit tests/bench "${two[@]}"
tests stage playbooks 150 tests/playbooks "${two[@]}"
tests stage service 480 tests/service "${two[@]}"
# A host waits for its own programs most of the time. On a host, or a stack, that is down each
# further test waits out its time.
tests beside hosts 1500 tests/hosts --maxfail=2 --override-ini=faulthandler_timeout=600
tests stage browser 240 tests/browser
tests stage programs 480 tests/programs
tests stage stack 720 tests/stack --maxfail=3
join hosts
echo "NOT RUN: the extended tests. Whoever changes deploy/, Dockerfile, docker-compose.yml or their" \
  "tests runs them: make extended"
