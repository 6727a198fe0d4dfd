#!/bin/sh
# Make .venv with the project and all that it needs, at the versions of constraints.txt.
set -eu
cd "$(dirname "$0")/.."

supported='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
if ! .venv/bin/python -c "$supported" 2>/dev/null; then
    python=
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c "$supported" 2>/dev/null; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "Python 3.11, 3.12 or 3.13 with its venv module is needed: install one, or say make PYTHON=/path/to/python" >&2
        exit 1
    fi
    "$python" -m venv --clear .venv
fi
.venv/bin/python -c 'import pip' 2>/dev/null || .venv/bin/python -m ensurepip >/dev/null  # a .venv made by uv has none
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
echo "installing into .venv"
.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --constraint constraints.txt \
  --editable '.[dev]'
