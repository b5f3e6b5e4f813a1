#!/bin/sh
# Make a folder with a newer Debian's Siril, astrometry.net and this machine's index files, for the integration test of
# the Siril engine. Needs root, debootstrap and the machine's own package mirror.
#
#   make_siril_tree.sh FOLDER      then: ALIDADE_TEST_SIRIL=FOLDER/siril-cli pytest -m integration tests/astrometry
set -eu
tree=$(realpath -m "$1")
release=${2:-trixie}
mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '/^URIs:/ {print $2; exit}')
debootstrap --variant=minbase "$release" "$tree" "$mirror"
cp /etc/apt/apt.conf.d/* "$tree/etc/apt/apt.conf.d/" 2>/dev/null || true
chroot "$tree" apt-get install -y -qq --no-install-recommends siril astrometry.net xvfb xauth
mkdir -p "$tree/usr/share/astrometry" "$tree/tmp/scratch"
cp /usr/share/astrometry/index-*.fits "$tree/usr/share/astrometry/"
# a program that looks like siril-cli from outside: paths below the tree lose its name
cat > "$tree/siril-cli" <<PROGRAM
#!/bin/sh
for argument in "\$@"; do shift; set -- "\$@" "\${argument#$tree}"; done
exec $(command -v chroot) "$tree" env -i HOME=/tmp TMPDIR=/tmp LC_ALL=C.UTF-8 PATH=/usr/bin:/bin xvfb-run -a siril-cli "\$@"
PROGRAM
chmod +x "$tree/siril-cli"
