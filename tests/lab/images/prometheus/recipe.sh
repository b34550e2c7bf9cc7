# shellcheck shell=bash disable=SC2034 # read by lib/images.sh
IMAGE=prom/prometheus:v3.5.3
SUITE=sid
