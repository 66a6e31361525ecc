#!/usr/bin/env bash
# Installs what is missing, then tests on two processes: scripts/test.sh [slow | all] [pytest arguments]
# Without a word the quick tests run (6 minutes on two cores), `slow` runs the others, `all` every one.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev
case "${1:-}" in
    slow) set -- -m slow "${@:2}" ;;
    all) shift ;;
    *) set -- -m "not slow" "$@" ;;
esac
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
