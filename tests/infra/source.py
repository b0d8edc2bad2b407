"""What the Rust code says of itself: variables it reads, calls it makes, tables, metrics. Found by patterns; each of them
fails loudly if it finds nothing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from template import ROOT

FUNCTIONS = ("intake", "rules", "poster", "sweeper")

# Methods of the SDK's clients, and the action IAM knows the call by. What is not here fails the test.
ACTIONS = {
    "batch_get_item": {"dynamodb:BatchGetItem"},
    "get_item": {"dynamodb:GetItem"},
    "put_item": {"dynamodb:PutItem"},
    "query": {"dynamodb:Query"},
    "scan": {"dynamodb:Scan"},
    # The tool's transactions put, delete and check.
    "transact_write_items": {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"},
    "update_item": {"dynamodb:UpdateItem"},
    "change_message_visibility": {"sqs:ChangeMessageVisibility"},
    "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
    "delete_message": {"sqs:DeleteMessage"},
    "get_queue_attributes": {"sqs:GetQueueAttributes"},
    "get_queue_url": {"sqs:GetQueueUrl"},
    "receive_message": {"sqs:ReceiveMessage"},
    "send_message": {"sqs:SendMessage"},
    "send_message_batch": {"sqs:SendMessage"},
    "create_secret": {"secretsmanager:CreateSecret"},
    "get_secret_value": {"secretsmanager:GetSecretValue"},
    "list_secret_version_ids": {"secretsmanager:ListSecretVersionIds"},
    "put_secret_value": {"secretsmanager:PutSecretValue"},
    "update_secret_version_stage": {"secretsmanager:UpdateSecretVersionStage"},
    # Not called on AWS: the template makes the tables there.
    "create_table": set(),
    "update_time_to_live": set(),
}


@cache
def text(path: str) -> str:
    """Without comments and without the tests at the end."""
    code = (ROOT / path).read_text()
    code = re.split(r"(?m)^#\[cfg\(test\)\]\s*\nmod ", code)[0]
    return re.sub(r"(?m)^\s*//.*$", "", code)


@cache
def sources(folder: str) -> str:
    """All code of a crate but its tests."""
    files = sorted(Path(ROOT / folder).rglob("*.rs"))
    files = [file for file in files if "tests" not in file.relative_to(ROOT / folder).parts and file.name != "tests.rs"]
    assert files, f"no code in {folder}"
    return "\n".join(text(str(file.relative_to(ROOT))) for file in files)


def constant(path: str, name: str) -> str:
    found = re.search(rf"\bconst {name}: [^=]+=\s*([^;]+);", text(path))
    assert found, f"no constant {name} in {path}"
    return found.group(1).strip()


def string(path: str, name: str) -> str:
    return constant(path, name).strip('"')


def number(path: str, name: str) -> int:
    value = constant(path, name)
    if seconds := re.fullmatch(r"(?:SignedDuration|Duration)::from_secs\((\d+)\)", value):
        return int(seconds.group(1))
    product = 1
    for factor in value.replace("_", "").split("*"):
        product *= int(factor)
    return product


@cache
def environment(function: str) -> frozenset[str]:
    """Variables it reads: every name in capitals in its config.rs, and what main asks for itself."""
    names = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', text(f"functions/{function}/src/config.rs")))
    for literal, name in re.findall(r'\bvariable\((?:"(\w+)"|([A-Z_]+))\)', text(f"functions/{function}/src/main.rs")):
        names.add(literal or string("shared/emf/src/lib.rs", name))
    assert len(names) > 2, names
    return frozenset(names)


@cache
def actions(folder: str) -> frozenset[str]:
    """Actions of the calls it makes."""
    code = sources(folder)
    methods = set(re.findall(r"\.([a-z]+(?:_[a-z]+)+|scan|query)\(\)", code))
    calls = {method for method in methods if method in ACTIONS}
    # Whatever else looks like a call of these services: to be added above.
    services = r"item|items|message|messages|queue|queue_url|attributes|secret|secret_value|table|visibility|batch"
    verbs = r"get|put|update|delete|batch|create|send|receive|purge|list|describe|transact|start|change|tag|restore|rotate"
    unknown = {
        method
        for method in re.findall(rf"\.((?:{verbs})_(?:\w+_)?(?:{services}))\(\)", code)
        if method not in ACTIONS and not re.search(rf"fn {method}\b", code)
    }
    assert not unknown, f"{folder} calls {unknown}: which actions are these?"
    return frozenset(action for method in calls for action in ACTIONS[method])


@cache
def metrics() -> dict[str, frozenset[str]]:
    """Metrics and the dimensions they have beside the stack."""
    declared = text("shared/src/metrics.rs")
    names = dict(re.findall(r'pub const (\w+): &str = "(\w+)";', declared))
    block = re.search(r"pub const ALL: [^=]+=\s*\[(.*?)\];", declared, re.S)
    assert block, "no list of all metrics"
    found: dict[str, set[str]] = {names[name]: set() for name in re.findall(r"\((\w+), Unit::", block.group(1))}
    uses = 0
    for function in FUNCTIONS:
        for name, labels in re.findall(
            r"metrics::(?:counter|histogram|gauge)!\(\s*([A-Z_]+)((?:\s*,\s*[A-Z_]+ => [^,()]+(?:\(\))?)*)\s*,?\s*\)",
            sources(f"functions/{function}/src"),
        ):
            uses += 1
            found[names[name]] |= {names[label] for label in re.findall(r"([A-Z_]+) =>", labels)}
    assert uses > 5, "the patterns find no metrics"
    return {name: frozenset(labels) for name, labels in found.items()}


def namespace() -> str:
    return string("shared/src/metrics.rs", "NAMESPACE")


@cache
def statuses_table() -> dict[str, object]:
    """Keys, indexes and expiry as the tool makes the table where no template does."""
    item, tables = "shared/src/item.rs", "infra/cli/src/store/tables.rs"
    code = text(tables)

    def name(identifier: str) -> str:
        return string(item, identifier)

    kinds = {"S": "S", "ScalarAttributeType::N": "N"}
    attributes = re.search(r"let statuses = define\(\s*client,\s*statuses_table,\s*&\[(.*?)\],\s*\)", code, re.S)
    assert attributes, "the definition of the table is not found"
    indexes = {}
    for index, partition, sort, projection in re.findall(r"index\((\w+), \((\w+), (\w+)\), (\w+)\)\.map_err", code):
        kind = re.search(rf"let {projection} = Projection::builder\(\)\s*\.projection_type\(ProjectionType::(\w+)\)", code)
        assert kind, f"no projection {projection}"
        indexes[name(index)] = {
            "keys": (name(partition), name(sort)),
            "projection": {"Include": "INCLUDE", "KeysOnly": "KEYS_ONLY", "All": "ALL"}[kind.group(1)],
        }
    included = re.search(r"const DUE_PROJECTION: [^=]+=\s*\[([^\]]+)\]", code)
    assert included and len(indexes) == 2, indexes
    indexes[name("DUE_INDEX")]["attributes"] = set(re.findall(r'"(\w+)"', included.group(1)))
    return {
        "attributes": {
            name(identifier): kinds[kind] for identifier, kind in re.findall(r"\((\w+), ([\w:]+)\)", attributes.group(1))
        },
        "keys": (name("PK"), name("SK")),
        "indexes": indexes,
        "ttl": name("TTL"),
    }
