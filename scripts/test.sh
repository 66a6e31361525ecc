#!/usr/bin/env bash
# Installs what is missing, then runs the tests: scripts/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev
# The tests are many small operations: more threads wait for each other longer than they work.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec .venv/bin/python -m pytest "$@"
