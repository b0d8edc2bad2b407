"""What must hold of the template beyond being valid. Each policy is a function that is given a template and asserts.

`ALL` has them by name: test_template.py runs them over every set of parameters, test_faults.py over broken templates.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any

import source
from template import ACCOUNT, PARTITION, REGION, ROOT, STACK, Template

Policy = Callable[[Template], None]
ALL: dict[str, Policy] = {}

FUNCTIONS = {name: name.capitalize() for name in source.FUNCTIONS}
TABLES = {"RulesTable": f"{STACK}-rules", "StatusesTable": f"{STACK}-statuses"}
QUEUES = {
    "EventsQueue": f"{STACK}-events.fifo",
    "EventsDeadQueue": f"{STACK}-events-dead.fifo",
    "PostsQueue": f"{STACK}-posts.fifo",
    "PostsDeadQueue": f"{STACK}-posts-dead.fifo",
}
DEAD = {"EventsQueue": "EventsDeadQueue", "PostsQueue": "PostsDeadQueue"}
CONSUMERS = {"Rules": "EventsQueue", "Poster": "PostsQueue"}
# Ids have 17 digits, old ones 8.
SUBNET, OLD_SUBNET = "subnet-0123456789abcdef0", "subnet-0a1b2c3d"
GROUP, OLD_GROUP = "sg-0123456789abcdef0", "sg-0a1b2c3d"
FOURTEEN_DAYS = 14 * 24 * 60 * 60
MIB = 1024 * 1024

GRANTS = tomllib.loads((ROOT / "tests" / "infra" / "roles.toml").read_text())

# Metrics of AWS that alarms and the dashboard use, and the dimensions they come with.
AWS_METRICS = {
    "AWS/SQS": ({"QueueName"}, {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}),
    "AWS/Lambda": ({"FunctionName"}, {"Errors", "Throttles", "Invocations", "Duration", "Url5xxCount"}),
    "AWS/DynamoDB": ({"TableName"}, {"ReadThrottleEvents", "WriteThrottleEvents"}),
}


def policy(check: Policy) -> Policy:
    ALL[check.__name__] = check
    return check


def arn(resource: str) -> str:
    return GRANTS["resources"][resource].format(
        partition=PARTITION, region=REGION, account=ACCOUNT, stack=STACK
    )


def queue_arn(logical_id: str) -> str:
    return f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:{QUEUES[logical_id]}"


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def one(values: list[Any]) -> Any:
    assert len(values) == 1, f"not exactly one: {values}"
    return values[0]


# --- the whole ---------------------------------------------------------------------------------------------------------


@policy
def everything_refers_to_something(template: Template) -> None:
    template.resources  # noqa: B018 - refuses what refers to nothing
    template.outputs  # noqa: B018
    for name, resource in template.translated["Resources"].items():
        for other in as_list(resource.get("DependsOn", [])):
            assert other in template.translated["Resources"], f"{name} depends on {other}"


@policy
def text_is_ascii(template: Template) -> None:
    # CloudFormation replaces other characters of a description by question marks.
    for number, line in enumerate(template.text.splitlines(), 1):
        assert line.isascii(), f"line {number}"


@policy
def nothing_is_built_and_code_is_where_cargo_lambda_leaves_it(template: Template) -> None:
    for name, function in FUNCTIONS.items():
        resource = template.source["Resources"][function]
        assert "Metadata" not in resource, f"{function} has metadata, from which `sam build` would build"
        assert resource["Properties"]["CodeUri"] == f"../target/lambda/{name}/"


@policy
def parameters_are_described_and_constrained(template: Template) -> None:
    expected = {
        "Stage", "Architecture", "LogLevel", "LogRetentionDays", "AlarmEmail", "IntakeReservedConcurrency",
        "RulesMaximumConcurrency", "PosterMaximumConcurrency", "AllowedPrivateRanges", "PosterSubnetIds",
        "PosterSecurityGroupIds", "MaxEventAgeHours", "EnforceTls", "Tracing",
    }  # fmt: skip
    assert set(template.source["Parameters"]) == expected
    grouped: list[str] = []
    for group in template.source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]:
        grouped += group["Parameters"]
    assert sorted(grouped) == sorted(expected), "the console shows each parameter in one group"
    for name, parameter in template.source["Parameters"].items():
        assert len(parameter.get("Description", "")) > 20, f"{name} has no description"
        assert "Default" in parameter, f"{name} has no default: `sam deploy` would need it said each time"
        constraints = {"AllowedValues", "AllowedPattern", "MinValue"} & set(parameter)
        assert constraints, f"{name} takes anything"
        default = str(parameter["Default"])
        if pattern := parameter.get("AllowedPattern"):
            assert re.fullmatch(pattern, default), f"{name}: its own default is refused"
            assert "ConstraintDescription" in parameter, f"{name}: a pattern explains itself to nobody"
        if allowed := parameter.get("AllowedValues"):
            assert default in map(str, allowed), f"{name}: its own default is refused"
        if "MinValue" in parameter:
            assert parameter["MinValue"] <= int(default) <= parameter["MaxValue"], name
    # Metrics travel as log lines of level INFO: with WARN Lambda drops them.
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
    assert template.source["Parameters"]["LogLevel"]["AllowedValues"] == ["DEBUG", "INFO"]
    # Traces cost more than all the rest, where every invocation is one.
    assert template.source["Parameters"]["Tracing"]["Default"] == "PassThrough"
    # What a function would refuse at its start is refused before.
    hours = template.source["Parameters"]["MaxEventAgeHours"]
    lifetime = source.number("shared/src/item.rs", "STATUS_LIFETIME_SECONDS")
    assert (hours["MinValue"], hours["MaxValue"]) == (1, lifetime // 3600)


@policy
def patterns_of_parameters_take_what_is_right(template: Template) -> None:
    cases = {
        "Stage": (["prod", "a", "dev-2"], ["", "Prod", "2nd", "x" * 21, "a b"]),
        "AlarmEmail": (["", "ops@example.com"], ["ops", "a b@example.com", "@"]),
        "AllowedPrivateRanges": (
            ["", "10.0.0.0/8", "10.0.0.0/8,fd12::/16"],
            ["10.0.0.1", "10.0.0.0/8,", "10.0.0.0/8, 10.1.0.0/16", "host/8"],
        ),
        "PosterSubnetIds": (
            ["", SUBNET, OLD_SUBNET, f"{SUBNET},{OLD_SUBNET}", ",".join([SUBNET] * 16)],
            [f"{SUBNET},", f"{SUBNET}, {OLD_SUBNET}", "subnet-1", "vpc-0a1b2c3d", GROUP, ",".join([SUBNET] * 17)],
        ),
        "PosterSecurityGroupIds": (
            ["", GROUP, OLD_GROUP, f"{GROUP},{OLD_GROUP}", ",".join([GROUP] * 5)],
            [f"{GROUP},", f"{GROUP}, {OLD_GROUP}", "sg-1", "default", SUBNET, ",".join([GROUP] * 6)],
        ),
    }
    for name, (right, wrong) in cases.items():
        pattern = template.source["Parameters"][name]["AllowedPattern"]
        for value in right:
            assert re.fullmatch(pattern, value), f"{name} refuses {value!r}"
        for value in wrong:
            assert not re.fullmatch(pattern, value), f"{name} takes {value!r}"


@policy
def conditions_are_used_and_follow_their_parameters(template: Template) -> None:
    parameters = template.parameters
    assert template.conditions == {
        "HasAlarmEmail": parameters["AlarmEmail"] != "",
        "ReservesIntake": parameters["IntakeReservedConcurrency"] != "0",
        "RefusesPlainHttp": parameters["EnforceTls"] == "true",
        "PosterInVpc": parameters["PosterSubnetIds"] != "",
    }
    for condition in template.conditions:
        assert len(re.findall(rf"\b{condition}\b", template.text)) > 1, f"{condition} is not used"


@policy
def names_begin_with_the_stack(template: Template) -> None:
    for logical_id, name in TABLES.items():
        assert template.resources[logical_id]["Properties"]["TableName"] == name
    for logical_id, name in QUEUES.items():
        assert template.resources[logical_id]["Properties"]["QueueName"] == name
    for name, logical_id in FUNCTIONS.items():
        assert template.resources[logical_id]["Properties"]["FunctionName"] == f"{STACK}-{name}"
    assert template.resources["RootKey"]["Properties"]["Name"] == f"{STACK}/root-key"
    names = []
    for properties in (resource.get("Properties", {}) for resource in template.resources.values()):
        for key in ("AlarmName", "TopicName", "DashboardName", "Name"):
            if key in properties:
                assert properties[key].startswith(STACK), properties[key]
                names.append((key, properties[key]))
    assert len(names) == len(set(names)), "two have the same name"


@policy
def only_the_expected_kinds_of_resources_are_made(template: Template) -> None:
    counts: dict[str, int] = {}
    for resource in template.resources.values():
        counts[resource["Type"]] = counts.get(resource["Type"], 0) + 1
    tls = 4 if template.conditions["RefusesPlainHttp"] else 0
    alarms = counts.pop("AWS::CloudWatch::Alarm")
    assert alarms > 20
    assert counts == {
        "AWS::Lambda::Function": 4,
        "AWS::Lambda::Url": 1,
        "AWS::Lambda::Permission": 2,
        "AWS::Lambda::EventSourceMapping": 2,
        "AWS::Lambda::EventInvokeConfig": 1,
        "AWS::Scheduler::Schedule": 1,
        "AWS::IAM::Role": 5,
        "AWS::IAM::ManagedPolicy": 1,
        "AWS::Logs::LogGroup": 4,
        "AWS::SQS::Queue": 4,
        **({"AWS::SQS::QueuePolicy": tls} if tls else {}),
        "AWS::DynamoDB::Table": 2,
        "AWS::SecretsManager::Secret": 1,
        "AWS::SNS::Topic": 1,
        **({"AWS::SNS::Subscription": 1} if template.parameters["AlarmEmail"] else {}),
        "AWS::CloudWatch::Dashboard": 1,
    }


# Types that cannot be tagged, and two that AWS SAM or this template leaves untagged.
UNTAGGED = {
    "AWS::IAM::ManagedPolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
    # AWS SAM has no way to tag what an event of a function becomes.
    "AWS::Lambda::EventSourceMapping",
    # Tags of dashboards are new, and neither region nor tool is sure to know them.
    "AWS::CloudWatch::Dashboard",
}


@policy
def everything_that_can_have_one_has_the_tag_of_the_stage(template: Template) -> None:
    for name, resource in template.resources.items():
        if resource["Type"] not in UNTAGGED:
            tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"].get("Tags", [])}
            assert tags.get("stage") == template.parameters["Stage"], name


@policy
def no_secret_is_written_out(template: Template) -> None:
    for name in ("SecretString", "Password", "Token"):
        assert not re.search(rf"(?m)^\s*-?\s*{name}:", template.text), f"{name} in the template"
    for function in FUNCTIONS.values():
        for name, value in template.resources[function]["Properties"]["Environment"]["Variables"].items():
            assert len(str(value)) < 100 and not re.search(r"gh[pousr]_|glpat-|AKIA|-----BEGIN", str(value)), name
            # A dynamic reference would put the value into the function's configuration.
            assert "{{resolve:" not in str(value), name


@policy
def outputs_are_there(template: Template) -> None:
    values = {name: output["Value"] for name, output in template.outputs.items()}
    url = f"https://intakeurl.lambda-url.{REGION}.on.aws/"
    command = values.pop("ConnectFirstCluster")
    assert f"COMMITSTATUS_STACK={STACK} " in command and f"COMMITSTATUS_URL={url};" in command
    assert "commitstatus cluster add dev" in command and "commitstatus connect dev | kubectl apply -f -" in command
    assert values == {
        "FunctionUrl": url,
        "RulesTableName": TABLES["RulesTable"],
        "StatusesTableName": TABLES["StatusesTable"],
        "EventsQueueName": QUEUES["EventsQueue"],
        "PostsQueueName": QUEUES["PostsQueue"],
        "EventsDeadQueueName": QUEUES["EventsDeadQueue"],
        "PostsDeadQueueName": QUEUES["PostsDeadQueue"],
        "RootKeySecret": arn("root-key"),
        "AlarmTopicArn": f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{STACK}-alarms",
        "OperatorPolicyArn": f"arn:{PARTITION}:iam::{ACCOUNT}:policy/{STACK}-OperatorPolicy",
    }
    for name, output in template.outputs.items():
        assert output.get("Description"), name


# --- functions ---------------------------------------------------------------------------------------------------------


def functions(template: Template) -> dict[str, dict[str, Any]]:
    made = template.of("AWS::Lambda::Function")
    assert set(made) == set(FUNCTIONS.values())
    return {name: made[logical_id] for name, logical_id in FUNCTIONS.items()}


@policy
def functions_run_what_was_built(template: Template) -> None:
    for name, function in functions(template).items():
        assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap"), name
        assert function["Architectures"] == [template.parameters["Architecture"]], name
        assert 128 <= function["MemorySize"] <= 512, name
        assert "Layers" not in function, name


@policy
def poster_alone_is_in_a_vpc_and_only_if_asked_for(template: Template) -> None:
    subnets, groups = (template.parameters[name] for name in ("PosterSubnetIds", "PosterSecurityGroupIds"))
    asked = {"SubnetIds": subnets.split(","), "SecurityGroupIds": groups.split(",")} if subnets else None
    for name, function in functions(template).items():
        assert function.get("VpcConfig") == (asked if name == "poster" else None), name


@policy
def subnets_and_security_groups_come_together(template: Template) -> None:
    assert template.refused == []
    for given, missing in (("PosterSubnetIds", "PosterSecurityGroupIds"), ("PosterSecurityGroupIds", "PosterSubnetIds")):
        value = {"PosterSubnetIds": SUBNET, "PosterSecurityGroupIds": GROUP}[given]
        said = one(template.variant({given: value}).refused)
        assert said.startswith(f"{given} is given, and {missing} is not."), said
    assert template.variant({"PosterSubnetIds": SUBNET, "PosterSecurityGroupIds": GROUP}).refused == []
    assert template.variant({}).refused == []


@policy
def functions_log_json_to_a_group_of_their_own_and_trace_if_asked_to(template: Template) -> None:
    for name, function in functions(template).items():
        group = f"/aws/lambda/{STACK}-{name}"
        assert function["LoggingConfig"] == {
            "LogFormat": "JSON",
            "ApplicationLogLevel": template.parameters["LogLevel"],
            "SystemLogLevel": "WARN",
            "LogGroup": group,
        }, name
        assert function["TracingConfig"] == {"Mode": template.parameters["Tracing"]}, name
        logs = template.resources[f"{FUNCTIONS[name]}Logs"]
        assert logs["Properties"]["LogGroupName"] == group
        assert str(logs["Properties"]["RetentionInDays"]) == template.parameters["LogRetentionDays"], name


@policy
def functions_have_the_environment_their_code_reads(template: Template) -> None:
    parameters = template.parameters
    queue = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"
    values = {
        "STACK_NAME": STACK,
        "EVENTS_QUEUE_URL": queue + QUEUES["EventsQueue"],
        "POSTS_QUEUE_URL": queue + QUEUES["PostsQueue"],
        "ROOT_KEY_SECRET": f"{STACK}/root-key",
        "MAX_EVENT_AGE_HOURS": parameters["MaxEventAgeHours"],
        "RULES_TABLE": TABLES["RulesTable"],
        "STATUSES_TABLE": TABLES["StatusesTable"],
        "PROVIDER_SECRETS_PREFIX": f"{STACK}/providers",
        "ALLOWED_PRIVATE_RANGES": parameters["AllowedPrivateRanges"],
    }
    for name, function in functions(template).items():
        variables = function["Environment"]["Variables"]
        assert set(variables) == source.environment(name), f"{name}: the code reads {source.environment(name)}"
        for variable, value in variables.items():
            assert str(value) == values[variable], f"{name}: {variable} is {value}"


@policy
def concurrency_is_reserved_for_intake_only_and_if_asked_for(template: Template) -> None:
    asked = template.parameters["IntakeReservedConcurrency"]
    for name, function in functions(template).items():
        reserved = function.get("ReservedConcurrentExecutions")
        if name == "intake" and asked != "0":
            assert str(reserved) == asked
        else:
            assert reserved is None, f"{name}: with 0 it could not run, and new accounts have 10 to share"
    defaults = template.source["Parameters"]
    consumers = sum(int(defaults[f"{function}MaximumConcurrency"]["Default"]) for function in CONSUMERS)
    assert consumers + 2 <= 8, "of the ten of a new account some must be left for intake, beside two sweeps"


@policy
def timeouts_fit_what_waits_for_them(template: Template) -> None:
    timeouts = {name: function["Timeout"] for name, function in functions(template).items()}
    # The root key, then SQS, each as long as main.rs lets them take; a start before that.
    operation = re.fullmatch(
        r"Duration::from_millis\((\d+)\)", source.constant("functions/intake/src/main.rs", "OPERATION_TIMEOUT")
    )
    assert operation, "OPERATION_TIMEOUT of intake is not in milliseconds"
    assert timeouts["intake"] >= 6 > 2 * int(operation.group(1)) / 1000
    assert timeouts["intake"] <= 15, "Flux waits for 15 seconds"
    # While a poster may still post, nobody else may.
    lease = source.number("functions/poster/src/post.rs", "LEASE_MILLIS") / 1000
    assert lease == 150 and timeouts["poster"] < lease
    for name in ("rules", "poster"):
        path = {"rules": "functions/rules/src/handler.rs", "poster": "functions/poster/src/post.rs"}[name]
        assert timeouts[name] >= 2 * source.number(path, "TIME_FOR_ONE"), f"{name} would begin too little"
    stays = source.number("functions/sweeper/src/handler.rs", "STAY")
    hints_until = source.number("functions/sweeper/src/handler.rs", "LONGEST_MILLIS") / 1000
    assert stays < 60 < hints_until, "the next sweep begins after a minute, and until then there is one"
    # A call of DynamoDB or SQS that was begun before then, and the metrics.
    assert hints_until + 5 <= timeouts["sweeper"] <= 90, "two sweeps at once are enough"


@policy
def the_url_is_public_and_is_the_only_way_in(template: Template) -> None:
    url = one(list(template.of("AWS::Lambda::Url").values()))
    intake = f"{STACK}-intake"
    assert url == {"TargetFunctionArn": intake, "AuthType": "NONE", "InvokeMode": "BUFFERED"}
    # https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    permissions = sorted(template.of("AWS::Lambda::Permission").values(), key=lambda permission: permission["Action"])
    assert permissions == [
        {
            "Action": "lambda:InvokeFunction",
            "FunctionName": intake,
            "Principal": "*",
            "InvokedViaFunctionUrl": True,
        },
        {
            "Action": "lambda:InvokeFunctionUrl",
            "FunctionName": intake,
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        },
    ]


@policy
def queues_are_consumed_with_partial_batches(template: Template) -> None:
    mappings = {mapping["FunctionName"]: mapping for mapping in template.of("AWS::Lambda::EventSourceMapping").values()}
    assert set(mappings) == {f"{STACK}-{function.lower()}" for function in CONSUMERS}
    for function, queue in CONSUMERS.items():
        mapping = mappings[f"{STACK}-{function.lower()}"]
        assert mapping["EventSourceArn"] == queue_arn(queue), function
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"], function
        assert mapping["BatchSize"] == 10, "ten is the most of a FIFO queue"
        maximum = template.parameters[f"{function}MaximumConcurrency"]
        assert str(mapping["ScalingConfig"]["MaximumConcurrency"]) == maximum, function
        assert mapping.get("Enabled", True) is True, function
        # A FIFO queue has no window, and a filter would delete what it does not let through.
        assert not {"MaximumBatchingWindowInSeconds", "FilterCriteria"} & set(mapping), function


@policy
def the_sweeper_runs_once_a_minute(template: Template) -> None:
    schedule = one(list(template.of("AWS::Scheduler::Schedule").values()))
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule.get("State", "ENABLED") == "ENABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert not {"StartDate", "EndDate", "GroupName"} & set(schedule)
    target = schedule["Target"]
    assert target["Arn"] == arn("sweeper")
    assert target["RoleArn"] == template.resolve({"Fn::GetAtt": ["SweepScheduleRole", "Arn"]})
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    # Lambda has a queue of its own behind the schedule, and would try again and again from there.
    retries = one(list(template.of("AWS::Lambda::EventInvokeConfig").values()))
    assert retries["FunctionName"] == f"{STACK}-sweeper" and retries["Qualifier"] == "$LATEST"
    assert (retries["MaximumEventAgeInSeconds"], retries["MaximumRetryAttempts"]) == (60, 0)


# --- what may be called ------------------------------------------------------------------------------------------------


def grants(policy_document: dict[str, Any]) -> list[tuple[str, str]]:
    """Action and resource, each pair of it; refusing whatever could allow more than it says."""
    assert policy_document["Version"] == "2012-10-17"
    pairs = []
    for statement in policy_document["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, f"Not… in {statement}"
        assert statement["Effect"] == "Allow"
        assert "Condition" not in statement, "no grant here needs one"
        for action in as_list(statement["Action"]):
            assert "*" not in action and "?" not in action, f"a wildcard in {action}"
            pairs += [(action, resource) for resource in as_list(statement["Resource"])]
    assert len(pairs) == len(set(pairs)), "something is granted twice"
    return pairs


def expected_grants(calls: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(call["action"], arn(call["resource"])) for call in calls]


ROLES = {**{name: f"{logical_id}Role" for name, logical_id in FUNCTIONS.items()}, "sweep-schedule": "SweepScheduleRole"}


@policy
def each_role_may_call_what_the_table_says_and_nothing_else(template: Template) -> None:
    roles = template.of("AWS::IAM::Role")
    assert set(roles) == set(ROLES.values())
    assert set(GRANTS["roles"]) == set(ROLES)
    for name, logical_id in ROLES.items():
        role = roles[logical_id]
        assert not {"ManagedPolicyArns", "PermissionsBoundary"} & set(role), f"{name}: managed policies"
        documents = [inline["PolicyDocument"] for inline in role["Policies"]]
        # What is denied has a policy of its own below.
        allowing = [it | {"Statement": [s for s in it["Statement"] if s["Effect"] != "Deny"]} for it in documents]
        granted = [pair for document in allowing for pair in grants(document)]
        expected = expected_grants(GRANTS["roles"][name])
        if name == "poster" and template.parameters["PosterSubnetIds"]:
            expected += expected_grants(GRANTS["vpc"]["poster"])
        assert sorted(granted) == sorted(expected), (
            f"{name}: too much {set(granted) - set(expected)}, too little {set(expected) - set(granted)}"
        )


@policy
def what_lambda_needs_for_a_vpc_is_denied_to_the_code(template: Template) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html: calls from inside the function have its ARN."""
    denials = [
        (name, statement)
        for name, role in template.of("AWS::IAM::Role").items()
        for inline in role["Policies"]
        for statement in inline["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    if not template.parameters["PosterSubnetIds"]:
        assert denials == []
        assert '"ec2:' not in json.dumps(template.resources), "somebody may call EC2, and there is no VPC"
        return
    role, statement = one(denials)
    assert role == "PosterRole"
    pairs = [(action, resource) for action in statement["Action"] for resource in as_list(statement["Resource"])]
    assert sorted(pairs) == sorted(expected_grants(GRANTS["vpc"]["denied"]))
    assert {call["action"] for call in GRANTS["vpc"]["poster"]} < {call["action"] for call in GRANTS["vpc"]["denied"]}
    poster = f"arn:{PARTITION}:lambda:{REGION}:{ACCOUNT}:function:{STACK}-poster"
    assert statement["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": poster}}
    assert set(statement) == {"Sid", "Effect", "Action", "Resource", "Condition"}


@policy
def each_role_is_one_functions_and_lambdas_only(template: Template) -> None:
    used = {}
    for name, function in functions(template).items():
        assert function["Role"] == template.resolve({"Fn::GetAtt": [f"{FUNCTIONS[name]}Role", "Arn"]}), name
        used[name] = function["Role"]
    assert len(set(used.values())) == len(FUNCTIONS), "two functions share a role"
    for logical_id, role in template.of("AWS::IAM::Role").items():
        scheduler = logical_id == "SweepScheduleRole"
        service = "scheduler.amazonaws.com" if scheduler else "lambda.amazonaws.com"
        statement = one(role["AssumeRolePolicyDocument"]["Statement"])
        expected = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        if scheduler:
            # Or the schedules of others could use it.
            expected["Condition"] = {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        assert statement == expected, logical_id


@policy
def the_operator_may_call_what_the_table_says(template: Template) -> None:
    managed = one(list(template.of("AWS::IAM::ManagedPolicy").values()))
    assert not {"Roles", "Users", "Groups"} & set(managed), "it is for people to attach"
    granted = grants(managed["PolicyDocument"])
    expected = expected_grants(GRANTS["operator"]["calls"])
    assert sorted(granted) == sorted(expected), (
        f"too much {set(granted) - set(expected)}, too little {set(expected) - set(granted)}"
    )


# --- queues ------------------------------------------------------------------------------------------------------------


@policy
def queues_are_fifo_encrypted_and_keep_messages_for_fourteen_days(template: Template) -> None:
    queues = template.of("AWS::SQS::Queue")
    assert set(queues) == set(QUEUES)
    for name, queue in queues.items():
        assert queue["FifoQueue"] is True, name
        # High throughput: both, or it is neither.
        assert (queue["DeduplicationScope"], queue["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId"), name
        assert queue["ContentBasedDeduplication"] is False, f"{name}: ids are ours, never the content's"
        assert queue["SqsManagedSseEnabled"] is True and "KmsMasterKeyId" not in queue, name
        assert queue["MessageRetentionPeriod"] == FOURTEEN_DAYS, name
        assert not queue.get("DelaySeconds"), name
        resource = template.resources[name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Retain"), name


@policy
def queues_take_the_longest_message(template: Template) -> None:
    queues = template.of("AWS::SQS::Queue")
    longest = source.number("functions/intake/src/handler.rs", "MAX_MESSAGE_BYTES")
    assert longest == MIB == queues["EventsQueue"]["MaximumMessageSize"]
    # Host, repository and context: some hundred characters each.
    assert queues["PostsQueue"]["MaximumMessageSize"] >= 16 * 1024
    for name, dead in DEAD.items():
        assert queues[dead]["MaximumMessageSize"] == queues[name]["MaximumMessageSize"], dead


@policy
def messages_come_back_late_enough_and_often_enough(template: Template) -> None:
    queues, made = template.of("AWS::SQS::Queue"), functions(template)
    for function, queue in CONSUMERS.items():
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        assert queues[queue]["VisibilityTimeout"] >= 6 * made[function.lower()]["Timeout"], queue
    events = queues["EventsQueue"]
    lasts = events["RedrivePolicy"]["maxReceiveCount"] * events["VisibilityTimeout"]
    assert 12 * 3600 <= lasts < FOURTEEN_DAYS, f"half a day without DynamoDB, and not for ever: {lasts} s"
    assert events["RedrivePolicy"]["maxReceiveCount"] <= 1000, "the most SQS takes"
    assert 3 <= queues["PostsQueue"]["RedrivePolicy"]["maxReceiveCount"] <= 10


@policy
def dead_letters_go_to_the_queue_that_is_for_them(template: Template) -> None:
    queues = template.of("AWS::SQS::Queue")
    for name, dead in DEAD.items():
        assert queues[name]["RedrivePolicy"]["deadLetterTargetArn"] == queue_arn(dead), name
        assert queues[dead]["RedriveAllowPolicy"] == {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [queue_arn(name)],
        }, dead
        assert "RedrivePolicy" not in queues[dead], f"{dead} has dead letters of its own"
        assert queues[dead]["MessageRetentionPeriod"] >= queues[name]["MessageRetentionPeriod"], dead


@policy
def queues_refuse_plain_http(template: Template) -> None:
    policies = template.of("AWS::SQS::QueuePolicy")
    if not template.conditions["RefusesPlainHttp"]:
        assert not policies
        return
    covered = []
    for name, queue_policy in policies.items():
        url = one(queue_policy["Queues"])
        queue = one([logical_id for logical_id, queue in QUEUES.items() if url.endswith("/" + queue)])
        covered.append(queue)
        statement = one(queue_policy["PolicyDocument"]["Statement"])
        assert statement == {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue_arn(queue),
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }, name
    assert sorted(covered) == sorted(QUEUES)


# --- tables and the root key -------------------------------------------------------------------------------------------


@policy
def tables_survive(template: Template) -> None:
    tables = template.of("AWS::DynamoDB::Table")
    assert set(tables) == set(TABLES)
    for name, table in tables.items():
        resource = template.resources[name]
        assert (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")) == ("Retain", "Retain"), name
        assert table["DeletionProtectionEnabled"] is True, name
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}, name
        assert table["SSESpecification"] == {"SSEEnabled": True}, name
        assert table["BillingMode"] == "PAY_PER_REQUEST" and "ProvisionedThroughput" not in table, name
        assert table.get("TableClass", "STANDARD") == "STANDARD" and "StreamSpecification" not in table, name


@policy
def tables_are_as_the_code_makes_and_reads_them(template: Template) -> None:
    tables = template.of("AWS::DynamoDB::Table")
    expected = source.statuses_table()

    def keys(schema: list[dict[str, str]]) -> tuple[str, ...]:
        assert [key["KeyType"] for key in schema] == ["HASH", "RANGE"]
        return tuple(key["AttributeName"] for key in schema)

    def attributes(table: dict[str, Any]) -> dict[str, str]:
        return {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}

    rules, statuses = tables["RulesTable"], tables["StatusesTable"]
    assert keys(rules["KeySchema"]) == expected["keys"] == keys(statuses["KeySchema"])
    assert attributes(rules) == {name: "S" for name in expected["keys"]}
    assert "GlobalSecondaryIndexes" not in rules and "TimeToLiveSpecification" not in rules
    assert attributes(statuses) == expected["attributes"]
    assert statuses["TimeToLiveSpecification"] == {"AttributeName": expected["ttl"], "Enabled": True}
    indexes = {}
    for index in statuses["GlobalSecondaryIndexes"]:
        found = {"keys": keys(index["KeySchema"]), "projection": index["Projection"]["ProjectionType"]}
        if "NonKeyAttributes" in index["Projection"]:
            found["attributes"] = set(index["Projection"]["NonKeyAttributes"])
        indexes[index["IndexName"]] = found
    assert indexes == expected["indexes"]


@policy
def the_root_key_is_generated_once(template: Template) -> None:
    resource = template.resources["RootKey"]
    assert (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy")) == ("Retain", "Retain")
    properties = resource["Properties"]
    # Letter for letter: any change of it has CloudFormation write another key over the one in use, and one more property
    # may do the same. `commitstatus root-key rotate` is how a key is changed.
    assert properties["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert set(properties) == {"Name", "Description", "GenerateSecretString", "Tags"}
    assert not [name for name in template.resources if "RotationSchedule" in template.resources[name]["Type"]]


# --- alarms and dashboard ----------------------------------------------------------------------------------------------


def existing_values(template: Template) -> dict[str, set[str]]:
    return {
        "QueueName": set(QUEUES.values()),
        "FunctionName": {f"{STACK}-{name}" for name in FUNCTIONS},
        "TableName": set(TABLES.values()),
        "Stack": {STACK},
        "Function": set(FUNCTIONS),
    }


def check_metric(template: Template, namespace: str, name: str, dimensions: dict[str, str], where: str) -> None:
    """The metric is one that somebody writes, about something that exists."""
    if namespace == source.namespace():
        metrics = source.metrics()
        assert name in metrics, f"{where}: no function counts {name}"
        assert set(dimensions) == {"Stack"} | metrics[name], f"{where}: {name} has the dimensions {metrics[name]}"
    else:
        assert namespace in AWS_METRICS, f"{where}: no namespace {namespace}"
        expected, names = AWS_METRICS[namespace]
        assert name in names and set(dimensions) == expected, f"{where}: no such metric"
    existing = existing_values(template)
    for dimension, value in dimensions.items():
        if dimension in existing:
            assert value in existing[dimension], f"{where}: {dimension} {value} does not exist"


def dimensions_of(metric: dict[str, Any]) -> dict[str, str]:
    pairs = [(dimension["Name"], dimension["Value"]) for dimension in metric["Dimensions"]]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


@policy
def alarms_are_about_metrics_that_exist(template: Template) -> None:
    for name, alarm in template.of("AWS::CloudWatch::Alarm").items():
        assert "Metrics" not in alarm, f"{name}: the emulator of the deploy test knows no metric math"
        dimensions = dimensions_of(alarm)
        check_metric(template, alarm["Namespace"], alarm["MetricName"], dimensions, name)
        if outcome := dimensions.get("Outcome"):
            function = {"Requests": "intake", "Sweeps": "sweeper"}.get(alarm["MetricName"]) or dimensions["Function"]
            code = source.sources(f"functions/{function}/src")
            assert f'"{outcome}"' in code, f"{name}: {function} has no outcome {outcome}"


@policy
def alarms_reach_the_topic(template: Template) -> None:
    topic = f"arn:{PARTITION}:sns:{REGION}:{ACCOUNT}:{STACK}-alarms"
    for name, alarm in template.of("AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == [topic] == alarm["OKActions"], name
        assert alarm.get("ActionsEnabled", True) is True, name
        assert alarm["AlarmDescription"].startswith(f"[{template.parameters['Stage']}] "), name
    # CloudWatch may not use the key of AWS for SNS, and every alarm would be lost.
    assert "KmsMasterKeyId" not in template.resources["AlarmTopic"]["Properties"]
    subscriptions = list(template.of("AWS::SNS::Subscription").values())
    address = template.parameters["AlarmEmail"]
    expected = [{"TopicArn": topic, "Protocol": "email", "Endpoint": address}] if address else []
    assert subscriptions == expected


# Over, under: where it begins to be bad. Periods in seconds. docs/operations.md explains each.
OVER, UNDER = "GreaterThanThreshold", "LessThanThreshold"


def alarm_table() -> dict[str, tuple[Any, ...]]:
    def queue(name: str) -> dict[str, str]:
        return {"QueueName": QUEUES[name]}

    def function(name: str) -> dict[str, str]:
        return {"FunctionName": f"{STACK}-{name}"}

    def ours(**dimensions: str) -> dict[str, str]:
        return {"Stack": STACK, **dimensions}

    table: dict[str, tuple[Any, ...]] = {
        # alarm: metric, dimensions, statistic, comparison, threshold, period, periods
        "EventsDeadAlarm": ("ApproximateNumberOfMessagesVisible", queue("EventsDeadQueue"), "Maximum", OVER, 0, 60, 1),
        "PostsDeadAlarm": ("ApproximateNumberOfMessagesVisible", queue("PostsDeadQueue"), "Maximum", OVER, 0, 60, 1),
        "EventsWaitAlarm": ("ApproximateAgeOfOldestMessage", queue("EventsQueue"), "Maximum", OVER, 600, 60, 3),
        "PostsWaitAlarm": ("ApproximateAgeOfOldestMessage", queue("PostsQueue"), "Maximum", OVER, 600, 60, 3),
        "RulesFailingAlarm": ("Failures", ours(Function="rules", Outcome="failed"), "Sum", OVER, 0, 600, 2),
        "PosterFailingAlarm": ("Failures", ours(Function="poster", Outcome="failed"), "Sum", OVER, 0, 600, 2),
        "EventsMalformedAlarm": ("Failures", ours(Function="rules", Outcome="malformed"), "Sum", OVER, 0, 300, 1),
        "PostsMalformedAlarm": ("Failures", ours(Function="poster", Outcome="malformed"), "Sum", OVER, 0, 300, 1),
        "Intake5xxAlarm": ("Url5xxCount", function("intake"), "Sum", OVER, 4, 300, 1),
        "IntakeRefusesAlarm": ("Requests", ours(Outcome="unauthorized"), "Sum", OVER, 20, 600, 1),
        "SweeperStoppedAlarm": ("Invocations", function("sweeper"), "Sum", UNDER, 1, 300, 1),
        "SweepsFailedAlarm": ("Sweeps", ours(Outcome="failed"), "Sum", OVER, 2, 300, 1),
        "ParkedAlarm": ("Parked", ours(), "Maximum", OVER, 0, 300, 1),
        "CredentialsRefusedAlarm": ("CredentialsRefused", ours(), "Sum", OVER, 0, 2100, 1),
        "RateLimitsAlarm": ("RateLimits", ours(), "Sum", OVER, 5, 3600, 1),
        "CollisionsAlarm": ("Collisions", ours(), "Sum", OVER, 0, 86400, 1),
    }
    for name, logical_id in FUNCTIONS.items():
        table[f"{logical_id}ErrorsAlarm"] = ("Errors", function(name), "Sum", OVER, 0, 300, 1)
        table[f"{logical_id}ThrottlesAlarm"] = ("Throttles", function(name), "Sum", OVER, 0, 300, 1)
    for logical_id, name in TABLES.items():
        for what in ("Read", "Write"):
            alarm = (f"{what}ThrottleEvents", {"TableName": name}, "Sum", OVER, 0, 300, 1)
            table[f"{logical_id}{what}ThrottlesAlarm"] = alarm
    return table


@policy
def alarms_are_the_ones_of_the_table(template: Template) -> None:
    alarms = template.of("AWS::CloudWatch::Alarm")
    found = {
        name: (
            alarm["MetricName"],
            dimensions_of(alarm),
            alarm["Statistic"],
            alarm["ComparisonOperator"],
            alarm["Threshold"],
            alarm["Period"],
            alarm["EvaluationPeriods"],
        )
        for name, alarm in alarms.items()
    }
    expected = alarm_table()
    assert set(found) == set(expected), set(found) ^ set(expected)
    for name, alarm in expected.items():
        assert found[name] == alarm, name
    for queue in DEAD.values():
        covering = [alarm for alarm in alarms.values() if dimensions_of(alarm) == {"QueueName": QUEUES[queue]}]
        assert covering, f"no alarm on {queue}"


@policy
def missing_data_is_bad_for_what_must_run_only(template: Template) -> None:
    for name, alarm in template.of("AWS::CloudWatch::Alarm").items():
        # What is parked stays so while nobody counts it.
        expected = {"SweeperStoppedAlarm": "breaching", "ParkedAlarm": "ignore"}.get(name, "notBreaching")
        assert alarm["TreatMissingData"] == expected, name


@policy
def the_dashboard_shows_metrics_that_exist(template: Template) -> None:
    dashboard = one(list(template.of("AWS::CloudWatch::Dashboard").values()))
    body = json.loads(dashboard["DashboardBody"])
    shown: set[str] = set()
    places = set()
    for widget in body["widgets"]:
        properties = widget["properties"]
        title = properties["title"]
        assert widget["type"] == "metric" and properties["region"] == REGION, title
        assert widget["x"] + widget["width"] <= 24, f"{title}: the grid is 24 wide"
        places.add((widget["x"], widget["y"]))
        last: list[str] = []
        for entry in properties["metrics"]:
            options = entry[-1] if isinstance(entry[-1], dict) else {}
            words = [word for word in entry if isinstance(word, str)]
            if "expression" in options:
                search = re.fullmatch(
                    r"SEARCH\('\{(\w+),([\w,]+)\} MetricName=\"(\w+)\" Stack=\"([\w-]+)\"', '(\w+)', (\d+)\)",
                    options["expression"],
                )
                assert search, f"{title}: {options['expression']}"
                namespace, dimensions, name, stack, _, period = search.groups()
                assert (stack, int(period)) == (STACK, properties["period"]), title
                named = {dimension: STACK if dimension == "Stack" else "" for dimension in dimensions.split(",")}
                named.pop("Function", None) is None or named.update(Function="rules")
                check_metric(template, namespace, name, named, title)
                shown.add(name)
                continue
            if words[0] == "...":
                # The same as the line before, but for what stands at the end.
                rest = words[1:]
                words = last[: len(last) - len(rest)] + rest
            last = words
            namespace, name, *pairs = words
            check_metric(template, namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True)), title)
            shown.add(name)
    assert len(places) == len(body["widgets"]), "two in one place"
    # Events in, outcomes by kind, posts for each host, latency, failures by class, and what waits.
    assert shown >= set(source.metrics()) - {"Collisions", "Sweeps"}, set(source.metrics()) - shown
    latency = [entry[-1]["stat"] for widget in body["widgets"] if "posted status" in widget["properties"]["title"]
               for entry in widget["properties"]["metrics"]]  # fmt: skip
    assert latency == ["p50", "p99"]
