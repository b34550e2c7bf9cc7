# shellcheck shell=bash disable=SC2034 # read by lib/images.sh
IMAGE=order-service-lab/haproxy:trixie
SUITE=trixie
PULL=no
