# shellcheck shell=bash
# An image of a registry that holds the base images, so that the tests' hosts pull them as a real
# host does. Each container of it begins with the same content.

BASE_IMAGES="mysql:9.7 nginx:1.30 python:3.13-slim-trixie"
FILLED_REGISTRY=order-service-lab/registry:filled

ensure_registry() {
  local key
  step_begin
  key="$(registry_key)"
  if image_there "$FILLED_REGISTRY" && [ "$(image_key "$FILLED_REGISTRY")" = "$key" ]; then
    step_end "$FILLED_REGISTRY is there"
  else
    fill_registry "$key" || die "the registry for the tests' hosts could not be filled"
    step_end "$FILLED_REGISTRY was filled with $BASE_IMAGES"
  fi
}

registry_key() {
  # shellcheck disable=SC2086 # a list
  docker image inspect --format '{{.Id}}' order-service-lab/registry:trixie $BASE_IMAGES | digest
}

fill_registry() {
  local key="$1" container address old
  old="$(image_id "$FILLED_REGISTRY")"
  container="$(docker run --detach --publish 127.0.0.1::5000 order-service-lab/registry:trixie)"
  address="$(docker port "$container" 5000)"
  if wait_until 20 registry_answers "$address" && push_base_images "$address"; then
    docker commit --change "LABEL $RECIPE_LABEL=$key" "$container" "$FILLED_REGISTRY" >/dev/null
    drop_former "$old"
  fi
  docker rm --force --volumes "$container" >/dev/null
  [ "$(image_key "$FILLED_REGISTRY")" = "$key" ]
}

registry_answers() {
  python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' \
    "http://$1/v2/" 2>/dev/null
}

push_base_images() {
  local address="$1" image
  for image in $BASE_IMAGES; do
    docker tag "$image" "$address/library/$image"
    logged push docker push "$address/library/$image" || return 1
    docker image rm "$address/library/$image" >/dev/null
  done
}
