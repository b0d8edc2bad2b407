"""One stack for all tests. Files run in the order of their names, and later ones find what earlier ones left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flux import Cluster
from git_host import GitHost
from stack import Settings, Stack
from tool import Tool

# What must never be seen outside of the secret it is in.
TOKEN = "canary-token-of-the-git-host"

PROVIDER = """\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {{name: github, namespace: apps}}
spec:
  type: github
  address: {url}/acme/fleet
  secretRef: {{name: github-token}}
"""

RULE = """\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata: {name: every, namespace: apps}
spec:
  providerRef: {name: github}
  eventSources: [{kind: Kustomization, name: "*"}]
  prefix: dev
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", action="store_true", help="leave the stack as it is at the end")


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Deployed, once."""
    stack = Stack(Settings.read())
    stack.deploy()
    return stack


@pytest.fixture(scope="session")
def git_host() -> Iterator[GitHost]:
    host = GitHost()
    yield host
    host.close()


@pytest.fixture(scope="session")
def tool(stack: Stack) -> Tool:
    tool = Tool(stack)
    # For whoever looks at a stack that was kept.
    lines = [f"export {name}={value}\n" for name, value in tool.environment.items() if name not in ("PATH", "HOME")]
    (stack.settings.tree / "stack.env").write_text("".join(lines))
    return tool


@pytest.fixture(scope="session")
def dev(stack: Stack, tool: Tool, git_host: GitHost, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster `dev`, connected as the README says."""
    rules = tmp_path_factory.mktemp("rules")
    (rules / "provider.yaml").write_text(PROVIDER.format(url=git_host.url))
    (rules / "rule.yaml").write_text(RULE)
    tool.runs("cluster add dev")
    tool.runs("apply --cluster dev -f", str(rules))
    tool.runs("secret set github-token --cluster dev --namespace apps --from-stdin token", stdin=TOKEN + "\n")
    return tool.connect("dev")
