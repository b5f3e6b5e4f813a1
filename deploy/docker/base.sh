#!/bin/sh
# Make the base images from Debian packages, where no registry of images can be reached:
# localhost/alidade-base (Python 3.11) and localhost/alidade-build (with a C compiler). Needs mmdebstrap and podman.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export CONTAINERS_CONF="${CONTAINERS_CONF:-$here/containers.conf}"
mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_image() { # name, packages
    podman image exists "localhost/$1" && return 0
    # the mirror of this machine is nobody else's: it does not stay in the image
    mmdebstrap --quiet --variant=minbase --include="$2" --aptopt='Acquire::Languages "none"' \
        --aptopt='APT::Install-Recommends "false"' --customize-hook='rm -f "$1"/etc/apt/sources.list' \
        bookworm "$work/$1.tar" "$mirror"
    podman import --quiet --change 'CMD ["python3"]' "$work/$1.tar" "localhost/$1:latest" >/dev/null
    rm -f "$work/$1.tar"
}

make_image alidade-base python3,python3-venv,ca-certificates
make_image alidade-build python3,python3-venv,python3-dev,gcc,libc6-dev,ca-certificates
