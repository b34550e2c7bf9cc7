# shellcheck shell=bash disable=SC2034 # read by lib/images.sh
IMAGE=mysql:9.7
SUITE=sid
