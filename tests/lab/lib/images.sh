# shellcheck shell=bash
# The base images, under their official names: pulled where a registry answers,
# else stand-ins built from tests/lab/images/NAME:
#   recipe.sh    sets IMAGE (the official name), SUITE (the Debian it is built on)
#                and, where needed, BUILD_ARGS; PULL=no if no registry has it
#   Dockerfile   starts with ARG BASE and FROM $BASE
# A stand-in carries its recipe's hash as a label, so a changed recipe is built
# anew. An image without that label is the real one and is left alone.

RECIPE_LABEL=order-service-lab.recipe

ensure_image() {
  local name="$1" dir="$LAB_DIR/images/$1" key IMAGE='' SUITE='' PULL=yes BUILD_ARGS=()
  # shellcheck source=/dev/null
  source "$dir/recipe.sh"
  key="$(recipe_key "$dir" "$SUITE" "${BUILD_ARGS[*]:-}")"

  step_begin
  if image_there "$IMAGE" && [[ "$(image_key "$IMAGE")" =~ ^($key)?$ ]]; then
    step_end "$IMAGE is there"
  elif [ "$PULL" = yes ] && registry_has "$IMAGE" && pull "$name" "$IMAGE"; then
    step_end "$IMAGE was pulled"
  elif load_cached "$IMAGE" "$name" "$key"; then
    step_end "$IMAGE was loaded from $CACHE_DIR"
  else
    build_stand_in "$name" "$dir" "$key"
  fi
}

build_stand_in() {
  local name="$1" dir="$2" key="$3" old
  can_install || die "$IMAGE cannot be pulled from here, and a stand-in can only be built on" \
    "Debian or Ubuntu as root: run 'docker pull $IMAGE' where a registry answers"
  ensure_base "$SUITE"
  step_begin
  say "building $IMAGE, which cannot be pulled from here"
  old="$(image_id "$IMAGE")"
  logged "build-$name" docker build --no-cache --build-arg "BASE=$(base_image "$SUITE")" \
    ${BUILD_ARGS[@]+"${BUILD_ARGS[@]}"} --label "$RECIPE_LABEL=$key" --tag "$IMAGE" "$dir" ||
    die "the stand-in for $IMAGE could not be built: see above"
  drop_former "$old"
  save_cached "$IMAGE" "$name" "$key"
  step_end "$IMAGE was built"
}

base_image() { echo "order-service-lab/debian:$1"; }

ensure_base() {
  local suite="$1" image key old
  image="$(base_image "$suite")"
  key="$(base_key "$suite")"
  image_there "$image" && [ "$(image_key "$image")" = "$key" ] && return
  step_begin
  if load_cached "$image" "debian-$suite" "$key"; then
    step_end "$image was loaded from $CACHE_DIR"
    return
  fi
  say "building $image with debootstrap"
  old="$(image_id "$image")"
  build_base "$suite" "$image" "$key"
  drop_former "$old"
  save_cached "$image" "debian-$suite" "$key"
  step_end "$image was built"
}

# Everything that goes into a base, this machine's certificate authorities too.
base_key() {
  {
    echo "$1 $(uname -m)"
    cat "$LAB_DIR/lib/base.sh"
    cat /etc/ssl/certs/ca-certificates.crt 2>/dev/null || true
  } | digest
}

recipe_key() {
  local dir="$1" suite="$2" build_args="$3"
  { base_key "$suite" && echo "$build_args" && cd "$dir" && find . -type f | LC_ALL=C sort | xargs tail -n +1; } | digest
}

digest() {
  python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

image_there() { docker image inspect "$1" >/dev/null 2>&1; }

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# What a new stand-in took the name from goes too, unless something uses it.
drop_former() { [ -z "$1" ] || docker image rm "$1" >/dev/null 2>&1 || true; }

image_key() {
  local label="{{with index . \"$RECIPE_LABEL\"}}{{.}}{{end}}"
  docker image inspect --format "{{with .Config.Labels}}$label{{end}}" "$1"
}

# Asked of the registry directly: a pull would first have to run out of time.
registry_has() { at_most 20 docker manifest inspect "$1" >/dev/null 2>&1; }

# By the digest that docker-compose.yml has for it, if it has one; the tests call it by its tag.
pull() {
  local pinned
  pinned="$(grep -Eo "[^ ]*$2@sha256:[0-9a-f]+" "$LAB_DIR/../../docker-compose.yml" || echo "$2")"
  logged "pull-$1" at_most 900 docker pull "$pinned" && docker tag "$pinned" "$2"
}

cached() { echo "$CACHE_DIR/images/$1-${2:0:16}.tar"; }

load_cached() {
  local image="$1" name="$2" key="$3" file
  file="$(cached "$name" "$key")"
  [ -f "$file" ] || return 1
  if logged "load-$name" docker load --input "$file" && [ "$(image_key "$image")" = "$key" ]; then
    return
  fi
  say "$file is of no use and is built anew"
  rm -f "$file"
  return 1
}

# Under its name only when it is whole; older ones of the same recipe go.
save_cached() {
  local image="$1" name="$2" key="$3" file old
  file="$(cached "$name" "$key")"
  mkdir -p "$CACHE_DIR/images"
  rm -f "$CACHE_DIR/images/$name"-*.part
  docker save --output "$file.part" "$image"
  mv "$file.part" "$file"
  for old in "$CACHE_DIR/images/$name"-????????????????.tar; do
    [ "$old" = "$file" ] || rm -f "$old"
  done
}
