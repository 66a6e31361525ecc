"""The entry point: show without any network, push to a server on this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from moe_lab.analysis.panels.panel_list import sections
from moe_lab.analysis.panels.show import drawn_names
from moe_lab.commands.dashboard import main
from tests.analysis.panels.wandb_server import serving

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def without_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)


def push(address: str, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """`python -m moe_lab dashboard push` in a process of its own: W&B remembers its server."""
    environment = {**os.environ, "WANDB_BASE_URL": address, "WANDB_API_KEY": key}
    return subprocess.run(
        [sys.executable, "-m", "moe_lab", "dashboard", "push", *arguments],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_show_lists_every_panel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["show"]) == 0
    words = "".join(capsys.readouterr().out.split())
    for panel in (panel for section in sections() for panel in section.panels):
        config = panel._to_model().model_dump(by_alias=True, exclude_none=True)["config"]
        assert all(name in words for name in drawn_names(config)), panel
    assert main([]) == 0
    assert "".join(capsys.readouterr().out.split()) == words


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_show_writes_what_would_be_sent(
    form: str, read: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(read)
    assert main(["show", f"format={form}", "entity=team", "filters=seed:0"]) == 0
    sent = read(capsys.readouterr().out)
    assert set(sent) == {"workspace", "report"}
    assert sent["workspace"]["entity"] == "team"
    assert sent["workspace"]["spec"]["section"]["runSets"][0]["filters"]["filters"][0]["value"] == 0
    assert sent["report"]["project"] == {"name": "moe_lab", "entityName": "team"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["push", "entity=a", "project=b"], "wandb login"),
        (["show", "filters=choices.model"], "a setting and its value"),
        (["show", f"title={'a' * 200}"], "at most 128 characters"),
        (["pull"], "expected one of show | push"),
        (["show", "entitty=a"], "no key 'entitty'"),
        (["show", "format=xml"], "one of table | yaml | json"),
    ],
)
def test_what_cannot_be_done_ends_with_code_2_and_says_what_to_do(
    line: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_push_saves_a_workspace_and_a_report_and_prints_where_they_are() -> None:
    with serving() as (server, address):
        done = push(address, "entity=team", "project=moe_lab")
    assert done.returncode == 0, done.stderr
    workspace, report = server.views.values()
    assert (workspace["type"], report["type"]) == ("project-view", "runs")
    for view in (workspace, report):
        assert (view["entityName"], view["projectName"]) == ("team", "moe_lab")
        assert view["displayName"] == "Mixtures of experts"
    stored = json.loads(workspace["spec"])["section"]["panelBankConfig"]["sections"]
    assert [len(s["panels"]) for s in stored] == [len(s.panels) for s in sections()]
    grids = [b for b in json.loads(report["spec"])["blocks"] if b["type"] == "panel-grid"]
    assert grids[0]["metadata"]["runSets"][0]["project"]["id"] == "77"
    assert server.keys == {"Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
    addresses = done.stdout.split()
    assert addresses[0].startswith(f"{address}/team/moe_lab?nw=")
    assert addresses[1] == f"{address}/team/moe_lab/reports/Mixtures-of-experts--{report['id']}"


@pytest.mark.slow
def test_pushing_again_to_the_same_addresses_replaces_what_is_there() -> None:
    with serving() as (server, address):
        first = push(address).stdout.split()  # to the key's own entity
        names = first[0].split("?nw=")[1], first[1].split("--")[1]
        again = push(
            address, f"workspace={names[0]}", f"report={names[1]}", "title=Renamed",
            "filters=seed:0",
        )  # fmt: skip
        wrong = push(address, f"workspace={names[0]}x")
    assert again.returncode == 0, again.stderr
    workspace, report = server.views.values()  # still two
    assert workspace["entityName"] == "me"
    assert (workspace["displayName"], report["displayName"]) == ("Renamed", "Renamed")
    runs = json.loads(workspace["spec"])["section"]["runSets"][0]
    assert runs["filters"]["filters"][0]["key"]["name"] == "seed.value"
    assert again.stdout.split()[0] == first[0]
    assert wrong.returncode == 2
    assert "knows no such workspace" in wrong.stderr


@pytest.mark.slow
def test_a_project_that_is_not_there_is_not_made() -> None:
    with serving() as (server, address):
        done = push(address, "project=moe_lba")
    assert (done.returncode, server.views) == (2, {})
    assert "no project me/moe_lba" in done.stderr


@pytest.mark.slow
def test_a_refused_key_is_an_error_without_a_traceback() -> None:
    with serving(refuses=True) as (server, address):
        refused = push(address)
        malformed = push(address, key="short")
    assert (refused.returncode, malformed.returncode, server.views) == (1, 2, {})
    for done in (refused, malformed):
        assert "wandb login --relogin" in done.stderr
        assert "Traceback" not in done.stderr
