"""As much of the W&B server as saving a workspace and a report needs, on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = {"endCursor": None, "hasNextPage": False}
NEW = "new"


class Server:
    """Answers GraphQL requests from `projects` and `views`, which it fills with what is saved."""

    def __init__(self, projects: tuple[str, ...], refuses: bool) -> None:
        self.projects, self.refuses = projects, refuses
        self.views: dict[str, dict[str, Any]] = {}  # by id
        self.keys: set[str | None] = set()

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        if "upsertView(" in query:
            return {"upsertView": {"inserted": True, "view": self.save(given)}}
        if "SpecificReport" in query:
            return {"view": self.views[given["reportId"]]}
        if "allViews" in query:
            found = [v for v in self.views.values() if v["name"] == given["viewName"]]
            return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}
        if "ProjectInternalId" in query:
            return {"project": {"id": "p", "internalId": "77"}}
        if "models(" in query:
            nodes = [self.project(name) for name in self.projects]
            return {"models": {"pageInfo": PAGE, "edges": [{"node": node} for node in nodes]}}
        return {"viewer": {"id": "u", "name": "me", "username": "me", "entity": "me"}}

    def save(self, given: dict[str, Any]) -> dict[str, Any]:
        key = given.get("id") or f"{NEW}{len(self.views)}"
        project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
        self.views[key] = {**given, "id": key, "project": project, "updatedAt": None}
        return self.views[key]

    @staticmethod
    def project(name: str) -> dict[str, Any]:
        return {
            "id": "p", "name": name, "entityName": "me", "createdAt": "2026-01-01T00:00:00",
            "isBenchmark": False, "user": None,
        }  # fmt: skip


@contextmanager
def serving(
    projects: tuple[str, ...] = ("moe_lab",), refuses: bool = False
) -> Iterator[tuple[Server, str]]:
    """The server and its address."""
    server = Server(projects, refuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.keys.add(self.headers.get("Authorization"))
            data = server.answer(body["query"], body.get("variables") or {})
            content = json.dumps({"data": data}).encode()
            self.send_response(401 if server.refuses else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Nothing on the screen."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        http.server_close()
