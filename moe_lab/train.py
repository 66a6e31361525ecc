"""`python -m moe_lab.train`: train one configuration, or with -m a sweep of them."""

from __future__ import annotations

import sys

from moe_lab.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
