#!/bin/sh
# Make .venv and install the project into it, with uv where that is installed and with pip otherwise; called by the Makefile.
#
# PYTHON       a Python of yours, 3.10 or newer; otherwise one is looked for
# TORCH_INDEX  an index address: torch and torchvision are both installed from it first (CPU-only builds, say)
#
# Programs in .venv/bin are never called by name: their first line breaks where the path of this folder has a space.
set -eu

find_python() {
    for name in ${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11 python3.10}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.10 or newer is needed, and ${PYTHON:-python3} is not. PYTHON=... names one that is." >&2
    return 1
}

make_venv() {
    python=$(find_python)
    "$python" -m venv --clear .venv >/dev/null 2>&1 && return
    # Debian's Python comes without ensurepip; then the system's pip fills the new environment.
    if ! "$python" -m venv --clear --without-pip .venv || ! "$python" -m pip --python .venv/bin/python install -qq pip; then
        echo "$python can make no environment: install its venv module (python3-venv) or pip (python3-pip)." >&2
        return 1
    fi
}

echo "Setting up .venv: a few minutes the first time."
if command -v uv >/dev/null; then
    .venv/bin/python -c '' 2>/dev/null || { rm -rf .venv && uv venv --quiet --python "${PYTHON:->=3.10}" .venv; }
    install() { uv pip install --quiet --python .venv/bin/python "$@"; }
else
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
    install() { .venv/bin/python -m pip install -qq "$@"; }
fi
if [ -n "${TORCH_INDEX:-}" ]; then
    install torch torchvision --index-url "$TORCH_INDEX"
fi
install -e ".[dev]"
touch .venv/.ok
