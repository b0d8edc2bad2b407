"""The stack: how it is deployed, and what is asked of it from outside."""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import yaml
from botocore.config import Config
from waiting import until

REGION = "eu-west-1"
FUNCTIONS = ("intake", "rules", "poster", "sweeper")
QUEUES = ("events", "events-dead", "posts", "posts-dead")
PARAMETERS = {
    "Stage": "test",
    # The functions run on this machine.
    "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
    # The emulator speaks plain HTTP, and the Git host is a stand-in on loopback.
    "EnforceTls": "false",
    "AllowedPrivateRanges": "127.0.0.0/8",
    "LogRetentionDays": "3",
}


@dataclass(frozen=True)
class Settings:
    """What `.ci/deploy` tells the tests."""

    endpoint: str
    sam: str
    tool: str
    # With infra/ and target/lambda/ below it, as in the repository.
    tree: Path
    stack: str = "commitstatus"

    @classmethod
    def read(cls) -> Settings:
        return cls(
            endpoint=os.environ["DEPLOY_ENDPOINT"],
            sam=os.environ["DEPLOY_SAM"],
            tool=os.environ["DEPLOY_TOOL"],
            tree=Path(os.environ["DEPLOY_TREE"]),
        )


@dataclass(frozen=True)
class Credentials:
    """Of a user, or of a session of a role."""

    key_id: str
    secret: str
    token: str | None = None

    def environment(self) -> dict[str, str]:
        variables = {"AWS_ACCESS_KEY_ID": self.key_id, "AWS_SECRET_ACCESS_KEY": self.secret}
        return variables | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


# Who may do everything. The emulator gives everybody this one.
ROOT = Credentials("test", "test")


@dataclass(frozen=True)
class Answer:
    """Of the function URL."""

    code: int
    body: dict
    headers: dict[str, str]

    @property
    def word(self) -> str:
        return self.body["status"]


def _logical(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> object:
    """CloudFormation's tags are left as they are written."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


class _Template(yaml.SafeLoader):
    pass


_Template.add_multi_constructor("!", _logical)


class Stack:
    """One stack of the emulator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.stack
        # How often the sweeper was invoked by the tests.
        self.sweeps = 0

    def client(self, service: str, credentials: Credentials = ROOT):
        return boto3.client(
            service,
            endpoint_url=self.settings.endpoint,
            region_name=REGION,
            aws_access_key_id=credentials.key_id,
            aws_secret_access_key=credentials.secret,
            aws_session_token=credentials.token,
            # A call that fails shall be seen, and one that hangs shall not hang the test.
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=90),
        )

    # Not shared with other credentials: clients are made once, for making one takes long.
    @cached_property
    def lambdas(self):
        return self.client("lambda")

    @cached_property
    def sqs(self):
        return self.client("sqs")

    @cached_property
    def dynamodb(self):
        return self.client("dynamodb")

    @cached_property
    def secrets(self):
        return self.client("secretsmanager")

    @cached_property
    def iam(self):
        return self.client("iam")

    @cached_property
    def logs(self):
        return self.client("logs")

    @cached_property
    def cloudformation(self):
        return self.client("cloudformation")

    # --- SAM ---

    @property
    def template(self) -> dict:
        return yaml.load((self.settings.tree / "infra/template.yaml").read_text(), _Template)

    def environment(self, credentials: Credentials = ROOT) -> dict[str, str]:
        """Of a program that talks to the emulator, and to nothing else of this machine's."""
        home = self.settings.tree / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "AWS_ENDPOINT_URL": self.settings.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
        } | credentials.environment()

    def _sam(self, *arguments: str) -> str:
        # The stack's name is samconfig.toml's, and so is all else that is not said.
        ran = subprocess.run(
            [self.settings.sam, *arguments, "--region", REGION],
            cwd=self.settings.tree / "infra",
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, f"sam {arguments[0]} failed:\n{ran.stdout}"
        return ran.stdout

    def deploy(self, **changed: str) -> str:
        """`sam deploy`, with what else it would ask for."""
        values = [f"{name}={value}" for name, value in (PARAMETERS | changed).items()]
        return self._sam("deploy", "--no-confirm-changeset", "--parameter-overrides", *values)

    def delete(self) -> str:
        return self._sam("delete", "--no-prompts", "--stack-name", self.name)

    # --- what is there ---

    @property
    def outputs(self) -> dict[str, str]:
        found = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def resources(self) -> dict[str, dict]:
        """By logical id."""
        found = self.cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]
        return {resource["LogicalResourceId"]: resource for resource in found}

    def role(self, whose: str) -> str:
        """The physical name of the role of a function, or of `sweep-schedule`."""
        return self.resources()[whose.title().replace("-", "") + "Role"]["PhysicalResourceId"]

    @cached_property
    def account(self) -> str:
        return self.client("sts").get_caller_identity()["Account"]

    # --- functions ---

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """A request to the function URL, by its own host name."""
        emulator = urlsplit(self.settings.endpoint)
        host = urlsplit(self.outputs_once["FunctionUrl"]).netloc
        connection = http.client.HTTPConnection(emulator.hostname, emulator.port, timeout=60)
        try:
            sent = {"Host": host, "Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, body=body or None, headers=sent)
            response = connection.getresponse()
            text = response.read()
            return Answer(response.status, json.loads(text), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    @cached_property
    def outputs_once(self) -> dict[str, str]:
        return self.outputs

    def renew(self, function: str) -> None:
        """The next call meets a new environment, which has read nothing yet."""
        name = f"{self.name}-{function}"
        timeout = self.lambdas.get_function_configuration(FunctionName=name)["Timeout"]
        # Lambda replaces environments with every update of the configuration, and the emulator if such as this is named.
        self.lambdas.update_function_configuration(FunctionName=name, Timeout=timeout)

    def sweep(self) -> None:
        """What the schedule does once a minute."""
        self.sweeps += 1
        answer = self.lambdas.invoke(FunctionName=f"{self.name}-sweeper", Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def log(self, function: str) -> list[str]:
        """All lines of a function, the oldest first."""
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{self.name}-{function}")
        return [event["message"] for page in pages for event in page["events"]]

    # --- queues ---

    def queue_url(self, queue: str) -> str:
        return self.sqs.get_queue_url(QueueName=f"{self.name}-{queue}.fifo")["QueueUrl"]

    def waiting(self, queue: str) -> int:
        """Messages that are on a queue, those in somebody's hands too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue_url(queue), AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    @contextmanager
    def impatient(self, queue: str, receives: int) -> Iterator[None]:
        """A message that fails comes back after a second, and dies after so many receives."""
        url = self.queue_url(queue)
        names = ["VisibilityTimeout", "RedrivePolicy"]
        before = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        policy = json.loads(before["RedrivePolicy"]) | {"maxReceiveCount": receives}
        changed = {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(policy)}
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes=before)

    @contextmanager
    def held(self, queue: str) -> Iterator[None]:
        """Nobody takes messages off a queue."""
        arn = f"arn:aws:sqs:{REGION}:{self.account}:{self.name}-{queue}.fifo"
        [mapping] = self.lambdas.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
        self.lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            self.lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    # --- roles ---

    @contextmanager
    def denied(self, function: str, action: str) -> Iterator[None]:
        """A function may not call something it may otherwise."""
        role = self.role(function)
        denial = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}
        self.iam.put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=json.dumps(denial))
        try:
            yield
        finally:
            self.iam.delete_role_policy(RoleName=role, PolicyName="denied")

    def assume(self, whose: str) -> Credentials:
        """A session of a role. Only a service of AWS may assume it, so this account is let in for a moment."""
        role = self.iam.get_role(RoleName=self.role(whose))["Role"]
        trust = role["AssumeRolePolicyDocument"]
        let_in = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"}}
        opened = {**trust, "Statement": [*trust["Statement"], let_in]}
        self.iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(opened))
        try:
            found = self.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="deploy-test")["Credentials"]
        finally:
            self.iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=json.dumps(trust))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    # --- tables and secrets ---

    def items(self, table: str) -> list[dict]:
        """Everything in a table, in the order of its keys."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=f"{self.name}-{table}")
        found = [item for page in pages for item in page["Items"]]
        return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))

    def status(self, commit: str) -> dict | None:
        """The item of a commit that has one status."""
        found = [item for item in self.items("statuses") if item["pk"]["S"].endswith(f"@{commit}")]
        assert len(found) <= 1, found
        return found[0] if found else None

    def posted(self, commit: str, state: str) -> dict:
        """The status of a commit, once the host took `state` and nothing is to be done."""

        def there() -> dict | None:
            item = self.status(commit)
            shown = item and item.get("posted", {}).get("M", {}).get("state", {}).get("S")
            return item if shown == state and "due" not in item else None

        return until(f"{state} of {commit} posted", there)

    def make_due(self, commit: str) -> None:
        """As if the time had come that a status waits for. One that was done meanwhile, by the schedule, is left."""
        item = self.status(commit)
        past = {"N": "1000"}
        changes, values = ["due_at = :past"], {":past": past}
        if "claim_until" in item:
            changes.append("claim_until = :past")
        try:
            self.dynamodb.update_item(
                TableName=f"{self.name}-statuses",
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET " + ", ".join(changes),
                ConditionExpression="attribute_exists(due)",
                ExpressionAttributeValues=values,
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            pass

    def secret_values(self, name: str) -> dict[str, str]:
        """Every version of a secret that can still be read, by its id."""
        versions = self.secrets.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
        read = lambda version: self.secrets.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
        return {version["VersionId"]: read(version["VersionId"]) for version in versions}


def fields(line: str) -> dict[str, str]:
    """The fields of a log line in text form."""
    return dict(re.findall(r'([\w.]+)="?([^\s"]+)"?', line))
