"""An update of the stack takes nothing with it."""

from flux import Cluster, event, new_commit
from git_host import GitHost
from stack import FUNCTIONS, Stack
from tool import Tool


def test_an_update_keeps_the_data_and_the_keys(stack: Stack, tool: Tool, dev: Cluster, git_host: GitHost) -> None:
    secrets = [f"{stack.name}/root-key", f"{stack.name}/providers/dev/apps/github-token"]
    commit = new_commit()
    body = event("Progressing", commit, name="updated")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    stack.posted(commit, "pending")

    def kept() -> tuple:
        return (
            stack.items("rules"),
            stack.items("statuses"),
            [stack.secret_values(secret) for secret in secrets],
            stack.secrets.list_secret_version_ids(SecretId=secrets[0])["Versions"],
            stack.outputs,
        )

    before = kept()
    stack.deploy(Stage="later", LogRetentionDays="5")

    assert kept() == before
    groups = stack.logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{stack.name}-")["logGroups"]
    assert {group["logGroupName"]: group.get("retentionInDays") for group in groups} == {
        f"/aws/lambda/{stack.name}-{function}": 5 for function in FUNCTIONS
    }
    body = event("ReconciliationSucceeded", commit, name="updated")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    stack.posted(commit, "success")
    assert [call.status[1] for call in git_host.calls(commit)] == ["pending", "success"]
    assert "current" in tool.runs("root-key status").out
