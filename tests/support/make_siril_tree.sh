#!/bin/sh
# Make a folder with a newer Debian's Siril, astrometry.net and this machine's index files, for the integration test of
# the Siril engine; one that is there already is kept. Needs root, mmdebstrap and the machine's own package mirror.
#
#   make_siril_tree.sh FOLDER      then: ALIDADE_TEST_SIRIL=FOLDER/siril-cli pytest -m integration tests/astrometry
set -eu
tree=$(realpath -m "$1")
[ -x "$tree/siril-cli" ] && exit 0
mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/*.sources)
rm -rf "$tree"
mkdir -p "$tree"
log=$(mktemp)
mmdebstrap --variant=minbase --include=siril,astrometry.net,xvfb,xauth --aptopt='APT::Install-Recommends "false"' \
    --aptopt='Acquire::Languages "none"' trixie "$tree" "$mirror" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
rm -f "$log"
mkdir -p "$tree/usr/share/astrometry" "$tree/tmp/scratch"
cp /usr/share/astrometry/index-*.fits "$tree/usr/share/astrometry/"
# a program that looks like siril-cli from outside: paths below the tree lose its name
cat > "$tree/siril-cli" <<PROGRAM
#!/bin/sh
for argument in "\$@"; do shift; set -- "\$@" "\${argument#$tree}"; done
exec $(command -v chroot) "$tree" env -i HOME=/tmp TMPDIR=/tmp LC_ALL=C.UTF-8 PATH=/usr/bin:/bin xvfb-run -a siril-cli "\$@"
PROGRAM
chmod +x "$tree/siril-cli"
