#!/usr/bin/env bash
# Installs what is missing, then trains: scripts/train.sh [overrides], for example scripts/train.sh model=dense seed=1
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
exec .venv/bin/python -m moe_lab.train "$@"
