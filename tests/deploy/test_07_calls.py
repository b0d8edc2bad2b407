"""Each role may call what stands in tests/infra/roles.toml, and is denied everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from calls import ANOTHER, probes, table
from flux import Cluster
from stack import FUNCTIONS, Credentials, Stack
from tool import Tool

ROLES = [*FUNCTIONS, "sweep-schedule", "operator"]


@pytest.fixture(scope="module", autouse=True)
def another_stack(stack: Stack) -> Iterator[None]:
    """Secrets of another stack in the same account."""
    names = [f"{ANOTHER}/root-key", f"{ANOTHER}/providers/dev/apps/github-token"]
    for name in names:
        stack.secrets.create_secret(Name=name, SecretString="of another stack")
    yield
    for name in names:
        stack.secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def credentials(stack: Stack, tool: Tool, role: str) -> Credentials:
    return tool.credentials if role == "operator" else stack.assume(role)


@pytest.mark.parametrize("role", ROLES)
def test_exactly_the_calls_of_the_table_are_allowed(
    stack: Stack, tool: Tool, dev: Cluster, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = table()[role]
    tried = list(probes(stack, credentials(stack, tool, role)))

    allowed = {(probe.action, probe.resource) for probe in tried if probe.is_allowed()}

    assert allowed == expected
    with capsys.disabled():
        print(f"\n{role}: {len(expected)} of {len(tried)} calls allowed, all others denied", end=" ")


def test_every_line_of_the_table_was_tried(stack: Stack, tool: Tool, dev: Cluster) -> None:
    tried = {(probe.action, probe.resource) for probe in probes(stack, tool.credentials)}

    assert set(ROLES) == set(table())
    assert set().union(*table().values()) <= tried


@pytest.fixture(scope="module")
def administrator(stack: Stack) -> Iterator[Credentials]:
    """A user who may do everything."""
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    user = {"UserName": "administrator"}
    stack.iam.create_user(**user)
    stack.iam.put_user_policy(**user, PolicyName="everything", PolicyDocument=json.dumps(everything))
    key = stack.iam.create_access_key(**user)["AccessKey"]
    yield Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    stack.iam.delete_access_key(**user, AccessKeyId=key["AccessKeyId"])
    stack.iam.delete_user_policy(**user, PolicyName="everything")
    stack.iam.delete_user(**user)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "operator"])
def test_nobody_but_a_service_of_aws_assumes_a_role(stack: Stack, administrator: Credentials, role: str) -> None:
    arn = stack.iam.get_role(RoleName=stack.role(role))["Role"]["Arn"]
    sts = stack.client("sts", administrator)
    assert sts.get_caller_identity()["Arn"].endswith("user/administrator")

    with pytest.raises(sts.exceptions.ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=arn, RoleSessionName="deploy-test")
