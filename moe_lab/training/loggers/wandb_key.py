"""Where W&B looks for a key, looked at without W&B."""

from __future__ import annotations

import netrc
import os
from pathlib import Path

# The server has two names, and `wandb login` writes down that of its version.
DEFAULT_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")


def has_key() -> bool:
    """Whether a key for the server in use is in the environment or in the netrc file."""
    return bool(os.environ.get("WANDB_API_KEY")) or key_in_netrc()


def key_in_netrc() -> bool:
    """Whether `wandb login` has left a key for the server in use."""
    own = os.environ.get("WANDB_BASE_URL", "").split("//")[-1].strip("/")
    hosts = DEFAULT_HOSTS if own in ("", *DEFAULT_HOSTS) else (own,)
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        known = netrc.netrc(path).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any(host in known for host in hosts)
