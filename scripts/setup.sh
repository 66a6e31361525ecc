#!/usr/bin/env bash
# Makes .venv if it is missing and installs moe_lab with the versions of constraints.txt; does nothing the second time.
# Usage: scripts/setup.sh [extra], where extra is empty or dev. PYTHON names the interpreter to use.
set -euo pipefail
cd "$(dirname "$0")/.."
extra="${1:-}"

find_python() {
    for name in "${PYTHON:-}" python3 python3.12 python3.11 python; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "moe_lab needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2
    exit 1
}

if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "setup: making .venv with $("$python" --version)"
    "$python" -m venv .venv
fi
# A stamp holds a checksum of what was installed; the dev set contains the other.
wanted=$(cat pyproject.toml constraints.txt | cksum | tr -d ' ')
for done in "$extra" dev; do
    if [ "$(cat ".venv/moe_lab-${done:-base}.stamp" 2>/dev/null)" = "$wanted" ]; then
        exit 0
    fi
done
echo "setup: installing moe_lab${extra:+[$extra]} (minutes, once)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".${extra:+[$extra]}"
echo "$wanted" > ".venv/moe_lab-${extra:-base}.stamp"
