"""Deleting the stack takes what runs, and leaves what cannot be made again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flux import Cluster
from stack import Stack
from tool import Tool, USER

pytestmark = pytest.mark.skipif("config.getoption('--keep')", reason="the stack is kept for a look")


@pytest.fixture(scope="module")
def before(stack: Stack, tool: Tool, dev: Cluster) -> Iterator[tuple]:
    """What is retained, as it was before the deletion. At the end that goes too."""
    # A policy that somebody has cannot be deleted.
    stack.iam.detach_user_policy(UserName=USER, PolicyArn=stack.outputs["OperatorPolicyArn"])
    kept = retained(stack)
    stack.delete()
    yield kept
    for table in ("rules", "statuses"):
        name = f"{stack.name}-{table}"
        stack.dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
        stack.dynamodb.delete_table(TableName=name)
    for secret in stack.secrets.list_secrets()["SecretList"]:
        stack.secrets.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)


def retained(stack: Stack) -> tuple:
    return stack.items("rules"), stack.items("statuses"), stack.secret_values(f"{stack.name}/root-key")


def test_tables_and_root_key_are_left_as_they_were(stack: Stack, before: tuple) -> None:
    assert retained(stack) == before


def test_a_table_that_is_left_is_protected_from_deletion(stack: Stack, before: tuple) -> None:
    for table in ("rules", "statuses"):
        with pytest.raises(stack.dynamodb.exceptions.ClientError, match="protect"):
            stack.dynamodb.delete_table(TableName=f"{stack.name}-{table}")


def test_what_runs_is_gone(stack: Stack, before: tuple) -> None:
    sam = "aws-sam-cli-managed-default"
    left = {
        "functions": stack.lambdas.list_functions()["Functions"],
        "event source mappings": stack.lambdas.list_event_source_mappings()["EventSourceMappings"],
        "queues": stack.sqs.list_queues().get("QueueUrls", []),
        "schedules": stack.client("scheduler").list_schedules()["Schedules"],
        "alarms": stack.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": stack.client("cloudwatch").list_dashboards()["DashboardEntries"],
        "topics": stack.client("sns").list_topics()["Topics"],
        "log groups": stack.logs.describe_log_groups()["logGroups"],
        "roles": [role for role in stack.iam.list_roles()["Roles"] if stack.name in role["RoleName"]],
        "policies": stack.iam.list_policies(Scope="Local")["Policies"],
        "stacks": [
            found["StackName"]
            for found in stack.cloudformation.describe_stacks()["Stacks"]
            # SAM's own, with the bucket it uploads to.
            if found["StackName"] != sam
        ],
    }

    assert left == {what: [] for what in left}
