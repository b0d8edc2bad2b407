"""What the two forms of the stack do not agree on."""

import functools
import json
from pathlib import Path

from cloudformation import Template
from translate import translate

TEMPLATE = Path(__file__).parents[2] / "infra/template.yaml"

# Parameter of the template: variable of the module.
INPUTS = {
    "Stage": "stage",
    "Architecture": "architecture",
    "LogLevel": "log_level",
    "LogRetentionDays": "log_retention_days",
    "Tracing": "tracing",
    "AlarmEmail": "alarm_email",
    "IntakeReservedConcurrency": "intake_reserved_concurrency",
    "RulesMaximumConcurrency": "rules_maximum_concurrency",
    "PosterMaximumConcurrency": "poster_maximum_concurrency",
    "MaxEventAgeHours": "max_event_age_hours",
    "AllowedPrivateRanges": "allowed_private_ranges",
    "PosterSubnetIds": "poster_subnet_ids",
    "PosterSecurityGroupIds": "poster_security_group_ids",
    "EnforceTls": "enforce_tls",
}
# Variables only the module has: where the code is, and what CloudFormation itself has words for.
ONLY_TERRAFORM = {"name", "tags", "zips", "s3_bucket", "s3_keys", "s3_object_versions", "generate_root_key"}

LOGS = ("IntakeLogs", "RulesLogs", "PosterLogs", "SweeperLogs")
ROLES = ("IntakeRole", "RulesRole", "PosterRole", "SweeperRole", "SweepScheduleRole")
QUEUES = ("EventsQueue", "EventsDeadQueue", "PostsQueue", "PostsDeadQueue")

# Where they differ on purpose: what, of which resources, and why. A line whose difference is gone fails too.
DIFFERENCES = [
    (
        "Properties.Code",
        ("Intake", "Rules", "Poster", "Sweeper"),
        "The code comes in its own way: sam deploy uploads a directory, Terraform is given zips or S3 keys.",
    ),
    (
        "Properties.RoleName",
        ROLES,
        "CloudFormation makes names of roles up; Terraform's default would be a bare number.",
    ),
    (
        "Properties.ManagedPolicyName",
        ("OperatorPolicy",),
        "As with the roles: CloudFormation makes one up.",
    ),
    (
        "UpdateReplacePolicy",
        QUEUES + LOGS,
        "Terraform has no such thing: what it replaces it destroys first. A plan says so.",
    ),
    (
        "Properties.Tags",
        ("OperatorPolicy", "RulesEvents", "PosterPosts"),
        "Of these only Terraform makes tags; CloudFormation or the transform does not.",
    ),
]


def ordered(statement):
    statement = dict(statement)
    for key in ("Action", "Resource"):
        value = statement.get(key)
        statement[key] = sorted(value) if isinstance(value, list) else [value]
    return statement


def normal(it):
    """Without what means nothing: the order in sets, one thing or a list of one, numbers or their text."""
    if isinstance(it, list):
        return [normal(value) for value in it]
    if not isinstance(it, dict):
        return it
    it = {key: normal(value) for key, value in it.items()}
    if "Statement" in it:
        statements = [ordered(statement) for statement in it["Statement"]]
        statements.sort(key=lambda statement: json.dumps(statement, sort_keys=True))
        it["Statement"] = {statement.get("Sid", index): statement for index, statement in enumerate(statements)}
    if "Variables" in it:
        it["Variables"] = {key: str(value) for key, value in it["Variables"].items()}
    sets = {"Dimensions": "Name", "Tags": "Key", "AttributeDefinitions": "AttributeName"}
    for key, by in sets.items():
        if key in it:
            it[key] = sorted(it[key], key=lambda value: value[by])
    if "GlobalSecondaryIndexes" in it:
        it["GlobalSecondaryIndexes"] = {index["IndexName"]: index for index in it["GlobalSecondaryIndexes"]}
    for key in ("NonKeyAttributes", "SubnetIds", "SecurityGroupIds"):
        if key in it:
            it[key] = sorted(it[key])
    if isinstance(it.get("DashboardBody"), str):
        it["DashboardBody"] = json.loads(it["DashboardBody"])
    return it


def of_template(text, stack, parameters):
    template = Template(text, stack, parameters)
    resources = template.resources()
    for resource in resources.values():
        properties = resource.setdefault("Properties", {})
        # The transform's own mark.
        if "Tags" in properties:
            properties["Tags"] = [tag for tag in properties["Tags"] if tag["Key"] != "lambda:createdBy"]
        if properties.get("DestinationConfig") == {}:
            del properties["DestinationConfig"]
        if resource.get("DeletionPolicy") == "Delete":
            del resource["DeletionPolicy"]
    return template, normal(resources), template.outputs()


def flat(it, path=""):
    if isinstance(it, dict):
        for key, value in it.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
        if not it:
            yield path, {}
    elif isinstance(it, list):
        for index, value in enumerate(it):
            yield from flat(value, f"{path}[{index}]")
        if not it:
            yield path, []
    else:
        yield path, it


def compare(template, module):
    """Lines of what differs, and the differences of DIFFERENCES that were not met."""
    found, met = [], set()
    for name in sorted(set(template) | set(module)):
        if name not in module or name not in template:
            found.append(f"{name}: only in the {'template' if name in template else 'module'}")
            continue
        left, right = dict(flat(template[name])), dict(flat(module[name]))
        for path in sorted(set(left) | set(right)):
            if path in left and path in right and left[path] == right[path]:
                continue
            expected = next(
                (
                    (what, name)
                    for what, names, _ in DIFFERENCES
                    if name in names and (path == what or path.startswith((f"{what}.", f"{what}[")))
                ),
                None,
            )
            if expected:
                met.add(expected)
                continue
            absent = "(not there)"
            found.append(f"{name}.{path}: template {left.get(path, absent)!r}, module {right.get(path, absent)!r}")
    return found, {(what, name) for what, names, _ in DIFFERENCES for name in names} - met


@functools.cache
def template_once(text, stack, parameters):
    """The transform takes a while."""
    return of_template(text, stack, json.loads(parameters))[1:]


def disagreements(template_text, module_texts, stack, parameters, variables):
    resources, outputs = template_once(template_text, stack, json.dumps(parameters))
    _, translated = translate(module_texts, {"name": stack} | variables)
    found, unmet = compare(resources, normal(translated.resources))
    found += [f"{name}.{what}: listed as a difference, but there is none" for what, name in sorted(unmet)]
    for name in sorted(set(outputs) | set(translated.outputs)):
        if outputs.get(name) != translated.outputs.get(name):
            found.append(f"output {name}: template {outputs.get(name)!r}, module {translated.outputs.get(name)!r}")
    return found
