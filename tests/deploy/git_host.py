"""A stand-in of a Git host: takes GitHub's commit statuses on loopback and remembers them."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Call:
    """What the poster sent."""

    method: str
    path: str
    authorization: str
    body: dict
    answered: int

    @property
    def status(self) -> tuple[str, str, str]:
        """Context, state and description."""
        return self.body["context"], self.body["state"], self.body.get("description", "")


# No repository has it.
NULL_COMMIT = "0" * 40


class GitHost:
    """Answers 201, but for commits that were told otherwise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._answers: dict[str, list[int]] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                code = host._take(self.command, self.path, self.headers.get("Authorization", ""), body)
                said = {201: {"id": 1}, 422: {"message": f"No commit found for SHA: {NULL_COMMIT}"}}
                answer = json.dumps(said.get(code, {"message": "as the test wants it"})).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def name(self) -> str:
        """As it stands in the keys of statuses."""
        return f"127.0.0.1:{self._server.server_port}"

    def answers(self, commit: str, *codes: int) -> None:
        """What the next calls about a commit are answered; 201 after that."""
        with self._lock:
            self._answers[commit] = list(codes)

    def _take(self, method: str, path: str, authorization: str, body: bytes) -> int:
        commit = path.rsplit("/", 1)[-1]
        if commit == NULL_COMMIT:
            # What the operator's tool asks to learn whether it may post; the poster never does.
            return 422
        with self._lock:
            waiting = self._answers.get(commit)
            code = waiting.pop(0) if waiting else 201
            self._calls.append(Call(method, path, authorization, json.loads(body or b"{}"), code))
            return code

    def calls(self, commit: str) -> list[Call]:
        with self._lock:
            return [call for call in self._calls if call.path.endswith("/" + commit)]

    def all_calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
