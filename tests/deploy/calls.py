"""Every call somebody could make on the stack's resources, tried harmlessly.

Who may make which stands in tests/infra/roles.toml. A call that is allowed fails for another reason here, or changes
nothing: the keys are nobody's, the receipts are invalid, what would be sent or created is refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError
from stack import FUNCTIONS, QUEUES, Credentials, Stack

TABLE = Path(__file__).resolve().parents[1] / "infra/roles.toml"
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}
# How those end that are allowed. Another error is a call that this file makes wrongly, and shows nothing.
REFUSED_OTHERWISE = {
    "ConditionalCheckFailedException",
    "MissingParameter",
    "ReceiptHandleIsInvalid",
    "ResourceExistsException",
    "ResourceNotFoundException",
    "TransactionCanceledException",
    "ValidationException",
}
# Secrets of a stack that is none of ours; the test creates them.
ANOTHER = "another"
# An item nobody has.
KEY = {"pk": {"S": "nobody"}, "sk": {"S": "nothing"}}
EXISTS = "attribute_exists(pk)"
RECEIPT = "nobody"
# There is no X-Ray in the emulator; and it compares the ARN of a log group without the `:*` that AWS and the policies have
# at its end, so that nobody may write logs by a call. It writes those of functions by itself.
NOT_TRIED = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}


@dataclass(frozen=True)
class Probe:
    """A call, and the name that roles.toml or this file has for what it is about."""

    action: str
    resource: str
    call: Callable[[], object]

    def is_allowed(self) -> bool:
        try:
            self.call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            assert code in DENIED | REFUSED_OTHERWISE, f"{self.action} on {self.resource}: {error}"
            return code in REFUSED_OTHERWISE
        return True


def table() -> dict[str, set[tuple[str, str]]]:
    """Whose calls are allowed, by the name of the role; `operator` is who has OperatorPolicy."""
    text = tomllib.loads(TABLE.read_text())
    lists = {**text["roles"], "operator": text["operator"]["calls"]}
    allowed = {name: {(row["action"], row["resource"]) for row in rows} for name, rows in lists.items()}
    return {name: {row for row in rows if row[0] not in NOT_TRIED} for name, rows in allowed.items()}


def probes(stack: Stack, credentials: Credentials) -> Iterator[Probe]:
    """All of them, for whoever has these credentials."""
    clients = {
        service: stack.client(service, credentials)
        for service in ("dynamodb", "sqs", "secretsmanager", "lambda", "logs", "iam", "sns", "s3", "scheduler")
    }
    yield from _tables(stack, clients["dynamodb"])
    yield from _queues(stack, clients["sqs"])
    yield from _secrets(stack, clients["secretsmanager"])
    yield from _functions(stack, clients["lambda"])
    yield from _logs(stack, clients["logs"])
    yield from _rest(stack, clients)


def _tables(stack: Stack, dynamodb) -> Iterator[Probe]:
    for name in ("rules", "statuses"):
        of, table = f"{name}-table", f"{stack.name}-{name}"
        item = {"TableName": table, "Key": KEY}
        query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": KEY["pk"]}}
        check = [{"ConditionCheck": {**item, "ConditionExpression": EXISTS}}]
        calls = {
            "GetItem": lambda item=item: dynamodb.get_item(**item),
            "BatchGetItem": lambda table=table: dynamodb.batch_get_item(RequestItems={table: {"Keys": [KEY]}}),
            "PutItem": lambda table=table: dynamodb.put_item(TableName=table, Item=KEY, ConditionExpression=EXISTS),
            "UpdateItem": lambda item=item: dynamodb.update_item(
                **item,
                UpdateExpression="SET a = :a",
                ConditionExpression=EXISTS,
                ExpressionAttributeValues={":a": {"S": "a"}},
            ),
            "DeleteItem": lambda item=item: dynamodb.delete_item(**item, ConditionExpression=EXISTS),
            "ConditionCheckItem": lambda check=check: dynamodb.transact_write_items(TransactItems=check),
            "Query": lambda table=table, query=query: dynamodb.query(TableName=table, **query),
            "Scan": lambda table=table: dynamodb.scan(TableName=table, Limit=1),
            "DescribeTable": lambda table=table: dynamodb.describe_table(TableName=table),
            # Deletion protection keeps it from being carried out.
            "DeleteTable": lambda table=table: dynamodb.delete_table(TableName=table),
        }
        for action, call in calls.items():
            yield Probe(f"dynamodb:{action}", of, call)
    for index, key in (("due", "due"), ("commit", "commit7")):
        on = {"TableName": f"{stack.name}-statuses", "IndexName": index}
        yield Probe(
            "dynamodb:Query",
            f"{index}-index",
            lambda on=on, key=key: dynamodb.query(
                **on,
                KeyConditionExpression="#key = :key",
                ExpressionAttributeNames={"#key": key},
                ExpressionAttributeValues={":key": {"S": "nobody"}},
            ),
        )
        yield Probe("dynamodb:Scan", f"{index}-index", lambda on=on: dynamodb.scan(**on, Limit=1))


def _queues(stack: Stack, sqs) -> Iterator[Probe]:
    for queue in QUEUES:
        url = stack.queue_url(queue)
        calls = {
            # Without a group, which no FIFO queue takes.
            "SendMessage": lambda url=url: sqs.send_message(QueueUrl=url, MessageBody="{}"),
            "ReceiveMessage": lambda url=url: sqs.receive_message(QueueUrl=url, VisibilityTimeout=0),
            "DeleteMessage": lambda url=url: sqs.delete_message(QueueUrl=url, ReceiptHandle=RECEIPT),
            "ChangeMessageVisibility": lambda url=url: sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=RECEIPT, VisibilityTimeout=0
            ),
            "GetQueueAttributes": lambda url=url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]),
            "GetQueueUrl": lambda queue=queue: sqs.get_queue_url(QueueName=f"{stack.name}-{queue}.fifo"),
            "SetQueueAttributes": lambda url=url: sqs.set_queue_attributes(QueueUrl=url, Attributes={}),
            "PurgeQueue": lambda url=url: sqs.purge_queue(QueueUrl=url),
        }
        for action, call in calls.items():
            yield Probe(f"sqs:{action}", queue, call)


def _secrets(stack: Stack, secrets) -> Iterator[Probe]:
    names = {
        "root-key": f"{stack.name}/root-key",
        "provider-secrets": f"{stack.name}/providers/dev/apps/github-token",
        "another-root-key": f"{ANOTHER}/root-key",
        "another-provider-secrets": f"{ANOTHER}/providers/dev/apps/github-token",
    }
    for of, name in names.items():
        calls = {
            "GetSecretValue": lambda name=name: secrets.get_secret_value(SecretId=name),
            # A version that is in no stage that counts.
            "PutSecretValue": lambda name=name: secrets.put_secret_value(
                SecretId=name, SecretString="probe", VersionStages=["PROBE"]
            ),
            "CreateSecret": lambda name=name: secrets.create_secret(Name=name, SecretString="probe"),
            "ListSecretVersionIds": lambda name=name: secrets.list_secret_version_ids(SecretId=name),
            "UpdateSecretVersionStage": lambda name=name: secrets.update_secret_version_stage(
                SecretId=name, VersionStage="PROBE", MoveToVersionId="0" * 32
            ),
            "DescribeSecret": lambda name=name: secrets.describe_secret(SecretId=name),
            "DeleteSecret": lambda name=name: secrets.delete_secret(SecretId=name),
        }
        for action, call in calls.items():
            yield Probe(f"secretsmanager:{action}", of, call)


def _functions(stack: Stack, lambdas) -> Iterator[Probe]:
    for function in FUNCTIONS:
        name = {"FunctionName": f"{stack.name}-{function}"}
        yield Probe("lambda:InvokeFunction", function, lambda name=name: lambdas.invoke(**name, InvocationType="DryRun"))
        yield Probe("lambda:GetFunction", function, lambda name=name: lambdas.get_function(**name))


def _logs(stack: Stack, logs) -> Iterator[Probe]:
    for function in FUNCTIONS:
        group = f"/aws/lambda/{stack.name}-{function}"
        yield Probe(
            "logs:FilterLogEvents",
            f"{function}-logs",
            lambda group=group: logs.filter_log_events(logGroupName=group, limit=1),
        )


def _rest(stack: Stack, clients: dict) -> Iterator[Probe]:
    role = stack.role("intake")
    yield Probe("sns:ListTopics", "account", lambda: clients["sns"].list_topics())
    yield Probe("iam:GetRole", "intake-role", lambda: clients["iam"].get_role(RoleName=role))
    yield Probe("iam:ListUsers", "account", lambda: clients["iam"].list_users())
    yield Probe("s3:ListAllMyBuckets", "account", lambda: clients["s3"].list_buckets())
    yield Probe("dynamodb:ListTables", "account", lambda: clients["dynamodb"].list_tables())
    yield Probe("sqs:ListQueues", "account", lambda: clients["sqs"].list_queues())
    yield Probe("secretsmanager:ListSecrets", "account", lambda: clients["secretsmanager"].list_secrets())
    yield Probe("lambda:ListFunctions", "account", lambda: clients["lambda"].list_functions())
    yield Probe("scheduler:ListSchedules", "account", lambda: clients["scheduler"].list_schedules())
