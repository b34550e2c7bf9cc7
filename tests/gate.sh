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
tests unit 90 tests/unit tests/bench
tests playbooks 150 tests/playbooks
tests service 480 tests/service
tests browser 150 tests/browser
tests programs 300 tests/programs
# On a stack that is down each further test waits out its time; so on a host.
tests stack 480 tests/stack --maxfail=3
tests hosts 1200 tests/hosts --maxfail=2 --override-ini=faulthandler_timeout=600
echo "NOT RUN: the extended tests. Whoever changes deploy/, Dockerfile, docker-compose.yml or their" \
  "tests runs them: make extended"
