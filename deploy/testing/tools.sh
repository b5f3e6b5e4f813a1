#!/bin/sh
# Tools that check the Helm chart, and readers of our catalogues that others wrote, in folders of their own: nothing of
# them is part of the product.
#
#   deploy/testing/tools.sh          install into .tools/ (or $ALIDADE_TOOLS)
#   deploy/testing/tools.sh lock     compile the locked requirements anew (needs uv)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tools=${ALIDADE_TOOLS:-$here/../../.tools}

if [ "${1:-}" = lock ]; then
    uv=$here/../../.venv/bin/uv
    cd "$here"
    "$uv" pip compile -q requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements.txt
    # the worker that matches surveys, with the versions that everything else is tested with
    "$uv" pip compile -q ../../services/catalogs/pyproject.toml --extra surveys catalogs.in -c ../../requirements.lock \
        --no-emit-package astro-shared --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o catalogs.txt
    cd npm
    exec npm install --package-lock-only --silent
fi

mkdir -p "$tools"
wanted=$(cat "$here/requirements.txt" "$here/catalogs.txt" "$here/npm/package-lock.json" | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null || true)" = "$wanted" ]; then
    exit 0
fi
test -x "$tools/venv/bin/python" || "${PYTHON:-python3}" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.txt"
# about 1 GB
test -x "$tools/catalogs/bin/python" || "${PYTHON:-python3}" -m venv "$tools/catalogs"
"$tools/catalogs/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$here/catalogs.txt"
if command -v npm >/dev/null; then
    mkdir -p "$tools/npm"
    cp "$here/npm/package.json" "$here/npm/package-lock.json" "$here/npm/.npmrc" "$tools/npm/"
    (cd "$tools/npm" && npm ci --silent)
else
    echo "tools: npm is missing, Helm 3.6 is left out" >&2
fi
echo "$wanted" > "$tools/installed"
