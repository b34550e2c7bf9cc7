# shellcheck shell=bash disable=SC2034 # read by lib/images.sh
IMAGE=python:3.13-slim-trixie
SUITE=trixie
# Builds in a container take packages from where this machine takes them.
PIP_INDEX="${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}"
BUILD_ARGS=(--build-arg "PIP_INDEX_URL=$PIP_INDEX")
