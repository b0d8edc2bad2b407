"""Events as Flux's notification-controller sends them, and how it signs them."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

_COUNT = itertools.count(1)


def new_commit() -> str:
    """A commit no other test has, whose first seven digits are its own too."""
    return hashlib.sha1(f"commit {next(_COUNT)}".encode()).hexdigest()


def at(**offset: float) -> str:
    """Now, or so much later or earlier, as it stands in events."""
    return (datetime.now(timezone.utc) + timedelta(**offset)).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(reason: str, commit: str, name: str = "podinfo", namespace: str = "apps", timestamp: str | None = None) -> bytes:
    """An event of a Kustomization. Each is newer than the one before: its resource version grows."""
    count = next(_COUNT)
    failed = reason.endswith("Failed")
    metadata = {"revision": f"main@sha1:{commit}"}
    if reason == "ReconciliationSucceeded":
        metadata["commit_status"] = "update"
    body = {
        "involvedObject": {
            "kind": "Kustomization",
            "namespace": namespace,
            "name": name,
            "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "resourceVersion": str(100_000 + count),
        },
        "severity": "error" if failed else "info",
        "timestamp": timestamp or at(),
        "message": f"event {count} of the deploy test",
        "reason": reason,
        "metadata": metadata,
        "reportingController": "kustomize-controller",
        "reportingInstance": "kustomize-controller-7f7c9b8d4c-x2l9k",
    }
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass
class Cluster:
    """A cluster that was connected: what its Provider and Secret hold."""

    name: str
    address: str
    key: str

    @property
    def path(self) -> str:
        """Path and query of the address."""
        return "/" + self.address.split("/", 3)[3]

    def signed(self, body: bytes) -> dict[str, str]:
        """The header of a Provider of type generic-hmac."""
        return {"X-Signature": "sha256=" + hmac.new(self.key.encode(), body, hashlib.sha256).hexdigest()}
