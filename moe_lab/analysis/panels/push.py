"""Sends the panel list to W&B, as a new workspace and a new report or in the place of old ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from omegaconf import DictConfig

from moe_lab.analysis.panels.view import View, read_view
from moe_lab.analysis.panels.wandb_report import build_report
from moe_lab.analysis.panels.workspace import build_workspace
from moe_lab.errors import ConfigError, UserError

TIMEOUT = 15  # seconds an answer of the server may take


def push(config: DictConfig) -> list[str]:
    """The addresses of the workspace and the report that were written."""
    with server_errors():
        api = wandb.Api(timeout=TIMEOUT)
        view = read_view(config, config.entity or api.default_entity or "")
        refuse_unknown_project(api, view)
        workspace = save_workspace(view, config.workspace)
        report = save_report(view, config.report)
    return [str(workspace.url), str(report.url)]


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


def refuse_unknown_project(api: wandb.Api, view: View) -> None:
    """A misspelt project must not become a new, empty one."""
    if view.project not in [project.name for project in api.projects(view.entity)]:
        raise ConfigError(
            f"W&B has no project {view.address}, or this key may not see it",
            "a project with runs",
            "check entity and project, or send a run first: python -m moe_lab.train logger=wandb "
            f"logger.wandb.project={view.project}",
        )


def save_workspace(view: View, name: str | None) -> ws.Workspace:
    """Write the workspace, in the place of the one of this name if there is one."""
    built = build_workspace(view)
    if name is None:
        return built.save()
    with known("workspace", name, "?nw="):
        old = ws.Workspace.from_url(f"https://wandb/{view.address}?nw={name}")
    old.name, old.sections = built.name, built.sections
    old.settings, old.runset_settings = built.settings, built.runset_settings
    return old.save()


def save_report(view: View, name: str | None) -> wr.Report:
    """Write the report, in the place of the one of this name if there is one."""
    built = build_report(view, online=True)
    if name is None:
        return built.save()
    with known("report", name, "--"):
        old = wr.Report.from_url(f"https://wandb/{view.address}/reports/--{name}")
    old.title, old.description, old.blocks = built.title, built.description, built.blocks
    return old.save()


@contextmanager
def known(key: str, name: str, before: str) -> Iterator[None]:
    """ConfigError for a name that the server does not know."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{key}={name}: W&B knows no such {key} in this project",
            f"what follows {before} in the address that `push` has printed",
            f"copy it from there, or leave {key} out for a new one",
        ) from error
