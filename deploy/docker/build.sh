#!/bin/sh
# Build the images of services: build.sh SERVICE... -> localhost/alidade-SERVICE:dev; catalogs-surveys is catalogs with LSDB
# BASE_IMAGE and BUILD_IMAGE name other bases; PODMAN another podman.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
podman=${PODMAN:-podman}
export CONTAINERS_CONF="${CONTAINERS_CONF:-$here/containers.conf}"
base=${BASE_IMAGE:-localhost/alidade-base}
build=${BUILD_IMAGE:-${BASE_IMAGE:-localhost/alidade-build}}

# while building, pip trusts and asks whom this machine trusts and asks; nothing of it stays in the image
mounts=
for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
    [ -e "$file" ] && mounts="$mounts -v $file:$file:ro"
done

# packages that several services need are fetched once; the stages that build are not part of an image
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
mounts="$mounts -v $cache:/root/.cache/pip"

revision=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
for image in "$@"; do
    service=${image%-surveys}
    licenses=BSD-3-Clause
    [ "$service" = astrometry ] && licenses="BSD-3-Clause AND GPL-3.0-only"
    # shellcheck disable=SC2086 # the mounts are words
    nice "$podman" build --format docker --network=host $mounts --build-arg "BASE_IMAGE=$base" --build-arg "BUILD_IMAGE=$build" \
        --build-arg "SERVICE=$service" --build-arg "LOCK=$image" --build-arg "REVISION=$revision" --build-arg "LICENSES=$licenses" \
        -t "localhost/alidade-$image:${TAG:-dev}" -f "$here/service.Dockerfile" "$root"
done
