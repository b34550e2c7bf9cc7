# shellcheck shell=bash disable=SC2034 # read by lib/images.sh
IMAGE=nginx:1.30
SUITE=sid
