"""Sends the panel list to W&B, as a new workspace and a new report or in the place of old ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from omegaconf import DictConfig

from moe_lab.analysis.panels.wandb_pages import build_report, build_workspace
from moe_lab.errors import ConfigError, UserError

TIMEOUT = 15  # seconds an answer of the server may take
# What an address names before the part by which it is known, and what is replaced of an old one.
ADDRESSES = {
    "workspace": ("?nw=", ("name", "sections", "settings", "runset_settings")),
    "report": ("/reports/--", ("title", "description", "blocks")),
}


def push(config: DictConfig) -> list[str]:
    """The addresses of the workspace and the report that were written."""
    with server_errors():
        api = wandb.Api(timeout=TIMEOUT)
        entity = config.entity or api.default_entity or ""
        refuse_unknown_project(api, entity, config.project)
        pages = [
            save_page(build_workspace(config, entity), "workspace", config.workspace),
            save_page(build_report(config, entity, online=True), "report", config.report),
        ]
    return [str(page.url) for page in pages]


@contextmanager
def server_errors() -> Iterator[None]:
    """What W&B raises for a key or a server that will not do, as an error for the user."""
    try:
        yield
    except (UserError, ValueError):
        raise
    except Exception as error:  # its versions differ in what they raise, some of it their own
        of_the_key = (wandb.errors.UsageError, wandb.errors.AuthenticationError)
        if isinstance(error, of_the_key) and error.__cause__ is None:
            raise ConfigError(f"W&B: {error}", todo="wandb login --relogin") from error
        raise UserError(
            f"W&B did not take the dashboard: {error}",
            "a server that can be reached and lets this key write to the project",
            "check entity, project and network; for another key: wandb login --relogin",
        ) from error


def refuse_unknown_project(api: wandb.Api, entity: str, project: str) -> None:
    """A misspelt project must not become a new, empty one."""
    if project not in [known.name for known in api.projects(entity)]:
        raise ConfigError(
            f"W&B has no project {entity}/{project}, or this key may not see it",
            "a project with runs",
            "check entity and project, or send a run first: python -m moe_lab.train logger=wandb "
            f"logger.wandb.project={project}",
        )


def save_page(
    built: ws.Workspace | wr.Report, key: str, name: str | None
) -> ws.Workspace | wr.Report:
    """Write it, in the place of the one of this name if there is one."""
    if name is None:
        return built.save()
    before, parts = ADDRESSES[key]
    try:
        old = type(built).from_url(f"https://wandb/{built.entity}/{built.project}{before}{name}")
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{key}={name}: W&B knows no such {key} in this project",
            f"what follows {before} in the address that `push` has printed",
            f"copy it from there, or leave {key} out for a new one",
        ) from error
    for part in parts:
        setattr(old, part, getattr(built, part))
    return old.save()
