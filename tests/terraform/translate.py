"""The Terraform module in CloudFormation's words, so that the two can be laid side by side.

Every argument has to be translated: one that is not known here is an error, not left out.
"""

import json
import re
from pathlib import Path

import hcl

REGION, ACCOUNT = "eu-west-1", "111122223333"
MODULE = Path(__file__).parents[2] / "infra/terraform"
FUNCTIONS = ("intake", "rules", "poster", "sweeper")
DATA = {
    "aws_caller_identity": {"current": {"account_id": ACCOUNT}},
    "aws_partition": {"current": {"partition": "aws"}},
    "aws_region": {"current": {"region": REGION}},
}

# Each resource of the module, and what it is in the template. What belongs to another resource there has the same name.
NAMES = {
    "aws_cloudwatch_dashboard.this": "Dashboard",
    "aws_dynamodb_table.rules": "RulesTable",
    "aws_dynamodb_table.statuses": "StatusesTable",
    "aws_iam_policy.operator": "OperatorPolicy",
    "aws_iam_role.sweep_schedule": "SweepScheduleRole",
    "aws_iam_role_policy.poster_network[0]": "PosterRole",
    "aws_iam_role_policy.sweep_schedule": "SweepScheduleRole",
    "aws_lambda_event_source_mapping.this[\"poster\"]": "PosterPosts",
    "aws_lambda_event_source_mapping.this[\"rules\"]": "RulesEvents",
    "aws_lambda_function_event_invoke_config.sweeper": "SweeperEventInvokeConfig",
    "aws_lambda_function_url.intake": "IntakeUrl",
    "aws_lambda_permission.invoke_via_url": "IntakeURLInvokeAllowPublicAccess",
    "aws_lambda_permission.url": "IntakeUrlPublicPermissions",
    "aws_scheduler_schedule.sweep": "SweepSchedule",
    "aws_secretsmanager_secret.root_key": "RootKey",
    "aws_secretsmanager_secret_version.root_key[0]": "RootKey",
    "aws_sns_topic.alarms": "AlarmTopic",
    "aws_sns_topic_subscription.alarm_email[0]": "AlarmSubscription",
}
for _key in FUNCTIONS:
    NAMES |= {
        f'aws_lambda_function.this["{_key}"]': _key.title(),
        f'aws_cloudwatch_log_group.function["{_key}"]': f"{_key.title()}Logs",
        f'aws_iam_role.function["{_key}"]': f"{_key.title()}Role",
        f'aws_iam_role_policy.function["{_key}"]': f"{_key.title()}Role",
    }
for _key in ("events", "posts"):
    NAMES |= {
        f'aws_sqs_queue.this["{_key}"]': f"{_key.title()}Queue",
        f'aws_sqs_queue.dead["{_key}"]': f"{_key.title()}DeadQueue",
        f'aws_sqs_queue_policy.this["{_key}"]': f"{_key.title()}QueuePolicy",
        f'aws_sqs_queue_policy.dead["{_key}"]': f"{_key.title()}DeadQueuePolicy",
    }
ALARM = re.compile(r'aws_cloudwatch_metric_alarm\.this\["([a-z0-9-]+)"\]')


def name_of(address):
    """Of a resource in the template, or None. An alarm's is its own name: `events-dead` is `EventsDeadAlarm`."""
    alarm = ALARM.fullmatch(address)
    if alarm:
        return "".join(word[0].upper() + word[1:] for word in alarm[1].split("-")) + "Alarm"
    return NAMES.get(address)


# What only the provider knows.
ATTRIBUTES = {"url": "QueueUrl", "function_url": "FunctionUrl"}


def computed(resource, name):
    if name not in ("arn", *ATTRIBUTES):
        raise KeyError(name)
    value = f"<{name_of(resource.address)}.{ATTRIBUTES.get(name, 'Arn')}>"
    # CloudFormation's ARN of a log group ends in `:*`, the provider's does not.
    return value.replace(".Arn>", ".Arn without star>") if resource.kind == "aws_cloudwatch_log_group" else value


def texts():
    return {path.name: path.read_text() for path in sorted(MODULE.glob("*.tf"))}


class Arguments(dict):
    """Is emptied while it is translated."""

    def renamed(self, **names):
        return {to: self.pop(name) for name, to in names.items() if self.get(name) is not None} | {}

    def block(self, name):
        blocks = self.pop(name, [])
        assert len(blocks) <= 1, f"{name} is there {len(blocks)} times"
        return Arguments(blocks[0]) if blocks else None


class Translation:
    """Of a module's resources and outputs: `resources`, `outputs`."""

    def __init__(self, module):
        self.module, self.resources = module, {}
        for address, instance in sorted(module.resources().items()):
            name = name_of(address)
            assert name, f"{address} is not in the template, or its name there not in NAMES"
            arguments = Arguments(instance)
            translated = self.resources.setdefault(name, {"Properties": {}})
            lifecycle = arguments.block("lifecycle") or {}
            if address == "aws_secretsmanager_secret_version.root_key[0]":
                self.lifecycle_of_root_key = lifecycle
            else:
                if lifecycle.pop("prevent_destroy", False):
                    # What may not be destroyed may not be replaced either.
                    translated |= {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
                assert not lifecycle, f"{address}: {lifecycle} is not known here"
            tags = arguments.pop("tags", None)
            if tags:
                translated["Properties"]["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
            kind = getattr(self, instance.kind)(arguments, translated["Properties"])
            if kind:
                translated["Type"] = kind
            left = {key: value for key, value in arguments.items() if value is not None}
            assert not left, f"{address}: nothing here translates {left}"
        self.resources = self.stars(self.resources)
        self.outputs = {
            "".join(word.title() for word in name.split("_")): value for name, value in module.outputs().items()
        }

    def instances(self, kind):
        return [it for it in self.module.resources().values() if it.kind == kind]

    def stars(self, it):
        if isinstance(it, dict):
            return {key: self.stars(value) for key, value in it.items()}
        if isinstance(it, list):
            return [self.stars(value) for value in it]
        return it.replace(".Arn without star>:*", ".Arn>") if isinstance(it, str) else it

    def aws_lambda_function(self, arguments, to):
        to |= arguments.renamed(
            function_name="FunctionName",
            description="Description",
            role="Role",
            runtime="Runtime",
            handler="Handler",
            architectures="Architectures",
            memory_size="MemorySize",
            timeout="Timeout",
        )
        to["Code"] = arguments.renamed(
            filename="file", source_code_hash="hash", s3_bucket="bucket", s3_key="key", s3_object_version="version"
        )
        reserved = arguments.pop("reserved_concurrent_executions")
        if reserved != -1:
            to["ReservedConcurrentExecutions"] = reserved
        to["Environment"] = {"Variables": arguments.block("environment")["variables"]}
        to["TracingConfig"] = arguments.block("tracing_config").renamed(mode="Mode")
        vpc = arguments.block("vpc_config")
        if vpc:
            to["VpcConfig"] = vpc.renamed(subnet_ids="SubnetIds", security_group_ids="SecurityGroupIds")
            assert not vpc, vpc
        logging = arguments.block("logging_config")
        to["LoggingConfig"] = logging.renamed(
            log_format="LogFormat",
            application_log_level="ApplicationLogLevel",
            system_log_level="SystemLogLevel",
            log_group="LogGroup",
        )
        assert not logging, logging
        return "AWS::Lambda::Function"

    def aws_cloudwatch_log_group(self, arguments, to):
        to |= arguments.renamed(name="LogGroupName", retention_in_days="RetentionInDays")
        return "AWS::Logs::LogGroup"

    def aws_lambda_function_url(self, arguments, to):
        to |= arguments.renamed(
            function_name="TargetFunctionArn", authorization_type="AuthType", invoke_mode="InvokeMode"
        )
        return "AWS::Lambda::Url"

    def aws_lambda_function_event_invoke_config(self, arguments, to):
        to |= arguments.renamed(
            function_name="FunctionName",
            qualifier="Qualifier",
            maximum_event_age_in_seconds="MaximumEventAgeInSeconds",
            maximum_retry_attempts="MaximumRetryAttempts",
        )
        return "AWS::Lambda::EventInvokeConfig"

    def aws_lambda_permission(self, arguments, to):
        statement = arguments.pop("statement_id")
        # The provider makes statements of these ids itself.
        assert statement not in ("FunctionURLAllowPublicAccess", "FunctionURLAllowInvokeAction")
        to |= arguments.renamed(
            action="Action",
            function_name="FunctionName",
            principal="Principal",
            function_url_auth_type="FunctionUrlAuthType",
            invoked_via_function_url="InvokedViaFunctionUrl",
        )
        return "AWS::Lambda::Permission"

    def aws_lambda_event_source_mapping(self, arguments, to):
        to |= arguments.renamed(
            event_source_arn="EventSourceArn",
            batch_size="BatchSize",
            function_response_types="FunctionResponseTypes",
        )
        # An ARN or the name, and the provider reads it back as an ARN.
        functions = {f"<{name_of(it.address)}.Arn>": it["function_name"] for it in self.instances("aws_lambda_function")}
        to["FunctionName"] = functions[arguments.pop("function_name")]
        if arguments.pop("enabled") is not True:
            to["Enabled"] = False
        to["ScalingConfig"] = arguments.block("scaling_config").renamed(maximum_concurrency="MaximumConcurrency")
        return "AWS::Lambda::EventSourceMapping"

    def aws_scheduler_schedule(self, arguments, to):
        to |= arguments.renamed(name="Name", description="Description", schedule_expression="ScheduleExpression")
        state = arguments.pop("state")
        if state != "ENABLED":
            to["State"] = state
        to["FlexibleTimeWindow"] = arguments.block("flexible_time_window").renamed(mode="Mode")
        target = arguments.block("target")
        to["Target"] = target.renamed(arn="Arn", role_arn="RoleArn")
        to["Target"]["RetryPolicy"] = target.block("retry_policy").renamed(
            maximum_event_age_in_seconds="MaximumEventAgeInSeconds", maximum_retry_attempts="MaximumRetryAttempts"
        )
        assert not target, target
        return "AWS::Scheduler::Schedule"

    def aws_sqs_queue(self, arguments, to):
        to |= arguments.renamed(
            name="QueueName",
            fifo_queue="FifoQueue",
            deduplication_scope="DeduplicationScope",
            fifo_throughput_limit="FifoThroughputLimit",
            content_based_deduplication="ContentBasedDeduplication",
            max_message_size="MaximumMessageSize",
            message_retention_seconds="MessageRetentionPeriod",
            visibility_timeout_seconds="VisibilityTimeout",
            sqs_managed_sse_enabled="SqsManagedSseEnabled",
        )
        for argument, name in (("redrive_policy", "RedrivePolicy"), ("redrive_allow_policy", "RedriveAllowPolicy")):
            if argument in arguments:
                to[name] = json.loads(arguments.pop(argument))
        return "AWS::SQS::Queue"

    def aws_sqs_queue_policy(self, arguments, to):
        to["Queues"] = [arguments.pop("queue_url")]
        to["PolicyDocument"] = json.loads(arguments.pop("policy"))
        return "AWS::SQS::QueuePolicy"

    def aws_iam_role(self, arguments, to):
        to |= arguments.renamed(name="RoleName", description="Description")
        to["AssumeRolePolicyDocument"] = json.loads(arguments.pop("assume_role_policy"))
        return "AWS::IAM::Role"

    def aws_iam_role_policy(self, arguments, to):
        assert arguments.pop("role") == to["RoleName"], "the policy is another role's"
        policy = {"PolicyName": arguments.pop("name"), "PolicyDocument": json.loads(arguments.pop("policy"))}
        to.setdefault("Policies", []).append(policy)

    def aws_iam_policy(self, arguments, to):
        to |= arguments.renamed(name="ManagedPolicyName", description="Description")
        to["PolicyDocument"] = json.loads(arguments.pop("policy"))
        return "AWS::IAM::ManagedPolicy"

    def aws_secretsmanager_secret(self, arguments, to):
        to |= arguments.renamed(name="Name", description="Description")
        self.recovery_of_root_key = arguments.pop("recovery_window_in_days")
        return "AWS::SecretsManager::Secret"

    def aws_secretsmanager_secret_version(self, arguments, to):
        assert arguments.pop("secret_id") == "<RootKey.Arn>"
        to["GenerateSecretString"] = Arguments(arguments.pop("secret_string_wo")).renamed(
            password_length="PasswordLength", exclude_punctuation="ExcludePunctuation"
        )
        self.version_of_root_key = arguments.renamed(
            secret_string_wo_version="number", version_stages="stages"
        )

    def aws_dynamodb_table(self, arguments, to):
        def keys(of):
            pairs = (("HASH", of.pop("hash_key")), ("RANGE", of.pop("range_key")))
            return [{"AttributeName": name, "KeyType": kind} for kind, name in pairs]

        def index(of):
            translated = {"IndexName": of.pop("name"), "KeySchema": keys(of)}
            translated["Projection"] = of.renamed(
                projection_type="ProjectionType", non_key_attributes="NonKeyAttributes"
            )
            assert not of, of
            return translated

        to |= arguments.renamed(
            name="TableName", billing_mode="BillingMode", deletion_protection_enabled="DeletionProtectionEnabled"
        )
        to["KeySchema"] = keys(arguments)
        to["AttributeDefinitions"] = [
            Arguments(it).renamed(name="AttributeName", type="AttributeType") for it in arguments.pop("attribute")
        ]
        indexes = arguments.pop("global_secondary_index", [])
        if indexes:
            to["GlobalSecondaryIndexes"] = [index(Arguments(it)) for it in indexes]
        ttl = arguments.block("ttl")
        if ttl:
            to["TimeToLiveSpecification"] = ttl.renamed(attribute_name="AttributeName", enabled="Enabled")
        to["SSESpecification"] = (arguments.block("server_side_encryption") or Arguments()).renamed(
            enabled="SSEEnabled"
        )
        to["PointInTimeRecoverySpecification"] = (arguments.block("point_in_time_recovery") or Arguments()).renamed(
            enabled="PointInTimeRecoveryEnabled"
        )
        return "AWS::DynamoDB::Table"

    def aws_sns_topic(self, arguments, to):
        to |= arguments.renamed(name="TopicName", display_name="DisplayName")
        return "AWS::SNS::Topic"

    def aws_sns_topic_subscription(self, arguments, to):
        to |= arguments.renamed(topic_arn="TopicArn", protocol="Protocol", endpoint="Endpoint")
        return "AWS::SNS::Subscription"

    def aws_cloudwatch_metric_alarm(self, arguments, to):
        to["Dimensions"] = [{"Name": name, "Value": it} for name, it in arguments.pop("dimensions").items()]
        to |= arguments.renamed(
            alarm_name="AlarmName",
            alarm_description="AlarmDescription",
            namespace="Namespace",
            metric_name="MetricName",
            statistic="Statistic",
            period="Period",
            evaluation_periods="EvaluationPeriods",
            threshold="Threshold",
            comparison_operator="ComparisonOperator",
            treat_missing_data="TreatMissingData",
            alarm_actions="AlarmActions",
            ok_actions="OKActions",
        )
        return "AWS::CloudWatch::Alarm"

    def aws_cloudwatch_dashboard(self, arguments, to):
        to |= arguments.renamed(dashboard_name="DashboardName")
        to["DashboardBody"] = json.loads(arguments.pop("dashboard_body"))
        return "AWS::CloudWatch::Dashboard"


def translate(texts, variables):
    zips = {key: f"{key}.zip" for key in FUNCTIONS}
    module = hcl.Module(texts, {"zips": zips} | variables, DATA, computed)
    return module, Translation(module)
