#!/usr/bin/env bash
# The gate's tests, the cheapest first: every promise once. `CI=true make test` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/stages.sh
export CI=true
tests() { # NAME BUDGET FOLDER... [OPTION...]
  local name=$1 budget=$2
  shift 2
  stage "$name" "$budget" .venv/bin/pytest --set=gate "$@"
}
# These leave a processor waiting most of the time, so two of them at once. A file stays together.
two=(-n 2 --dist loadfile)
tests unit 150 tests/unit tests/bench "${two[@]}"
tests playbooks 150 tests/playbooks "${two[@]}"
tests service 480 tests/service "${two[@]}"
tests browser 150 tests/browser
tests programs 300 tests/programs
# On a stack that is down each further test waits out its time; so on a host.
tests stack 480 tests/stack --maxfail=3
tests hosts 1200 tests/hosts --maxfail=2 --override-ini=faulthandler_timeout=600
echo "NOT RUN: the extended tests. Whoever changes deploy/, Dockerfile, docker-compose.yml or their" \
  "tests runs them: make extended"
