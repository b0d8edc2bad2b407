"""The template as CloudFormation would see it: read, translated by AWS SAM's own translator, intrinsics resolved.

Nothing is asked of AWS. A reference becomes what it would be there, an ARN, a name or a URL, so that tests compare what
arrives and not how it was written.
"""

from __future__ import annotations

import copy
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"

PARTITION = "aws"
REGION = "eu-west-1"
ACCOUNT = "123456789012"
STACK = "acme"

# The translator asks boto3 for it, and boto3 the environment.
os.environ["AWS_DEFAULT_REGION"] = REGION

PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": PARTITION,
    "AWS::Region": REGION,
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}


class Broken(Exception):
    """It cannot be read, or refers to what is not there."""


class _Loader(yaml.CSafeLoader):
    """YAML with the short forms of intrinsics, and no key twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise Broken(f"key {key} twice, in line {key_node.start_mark.line + 1}")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = _mapping(loader, node)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_multi_constructor("!", _intrinsic)


class _NoManagedPolicies:
    """The names of AWS's managed policies: none is to be used, and so none is to be known."""

    def load(self) -> dict[str, str]:
        return {}


class Template:
    """One template with one set of parameters."""

    def __init__(self, text: str, parameters: dict[str, str] | None = None):
        self.text = text
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                if anchor := getattr(event, "anchor", None):
                    raise Broken(f"anchor or alias {anchor} in line {event.start_mark.line + 1}")
            self.source = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        except yaml.YAMLError as error:
            raise Broken(f"not YAML: {error}") from error
        self._give(parameters or {})

    def variant(self, parameters: dict[str, str]) -> Template:
        """The same with other parameters, without reading and translating it again."""
        other = copy.copy(self)
        for cached in ("conditions", "refused", "raw", "resources", "outputs"):
            other.__dict__.pop(cached, None)
        other._give(parameters)
        return other

    def _give(self, given: dict[str, str]) -> None:
        known = self.source["Parameters"]
        if unknown := set(given) - set(known):
            raise Broken(f"unknown parameters: {unknown}")
        self.parameters = {
            name: given.get(name, _text(parameter.get("Default"))) for name, parameter in known.items()
        }

    @cached_property
    def translated(self) -> dict[str, Any]:
        """What AWS::Serverless makes of it."""
        source = copy.deepcopy(self.source)
        for name, resource in source["Resources"].items():
            if resource.get("Type") == "AWS::Serverless::Function":
                # As `sam deploy` leaves it after the upload.
                resource["Properties"]["CodeUri"] = {"Bucket": "artefacts", "Key": f"{name}.zip"}
        try:
            return transform(source, {}, _NoManagedPolicies())
        except Exception as error:
            causes = getattr(error, "causes", [])
            raise Broken("; ".join(str(cause.message) for cause in causes) or repr(error)) from error

    @cached_property
    def conditions(self) -> dict[str, bool]:
        return {name: bool(self._condition(name)) for name in self.translated.get("Conditions", {})}

    @cached_property
    def refused(self) -> list[str]:
        """What CloudFormation says against these parameters by the assertions below `Rules`, before it makes anything."""
        said = []
        for rule in self.translated.get("Rules", {}).values():
            if "RuleCondition" not in rule or self._holds(rule["RuleCondition"]):
                said += [it["AssertDescription"] for it in rule["Assertions"] if not self._holds(it["Assert"])]
        return said

    @cached_property
    def raw(self) -> dict[str, Any]:
        """Resources that are made with these parameters, intrinsics as written."""
        made = {}
        for name, resource in self.translated["Resources"].items():
            condition = resource.get("Condition")
            if condition is not None and condition not in self.conditions:
                raise Broken(f"{name}: no condition {condition}")
            if condition is None or self.conditions[condition]:
                made[name] = resource
        return made

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Resources that are made with these parameters, resolved. Refusing what refers to nothing."""
        return {name: self.resolve(resource) for name, resource in self.raw.items()}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        return self.resolve(self.translated["Outputs"])

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties of the resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            values = (self.resolve(item) for item in value)
            return [item for item in values if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Fn::GetAtt":
                target, attribute = argument
                return self._attribute(target, attribute)
            if name == "Fn::Sub":
                return self._sub(argument)
            if name == "Fn::If":
                condition, yes, no = argument
                if condition not in self.conditions:
                    raise Broken(f"no condition {condition}")
                return self.resolve(yes if self.conditions[condition] else no)
            if name == "Fn::Split":
                separator, text = argument
                return _text(self.resolve(text)).split(separator)
            if name == "Fn::Join":
                separator, parts = argument
                return separator.join(str(self.resolve(part)) for part in parts)
            if name.startswith("Fn::"):
                raise Broken(f"{name} is not understood here")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not _NO_VALUE}

    def _condition(self, name: str) -> bool:
        return self._boolean(self.translated["Conditions"][name])

    def _holds(self, value: Any) -> bool:
        """Of a rule: fewer functions than in a condition, no conditions, and of references those to parameters."""
        ((name, argument),) = value.items()
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name == "Fn::Equals":
            one, other = (self.parameters[it["Ref"]] if isinstance(it, dict) else it for it in argument)
            return one == other
        raise Broken(f"{name} is not understood in a rule")

    def _boolean(self, value: Any) -> bool:
        (name, argument), *_ = value.items()
        match name:
            case "Fn::And":
                return all([self._boolean(item) for item in argument])
            case "Fn::Not":
                return not self._boolean(argument[0])
            case "Fn::Equals":
                one, other = (_text(self.resolve(side)) for side in argument)
                return one == other
            case "Condition":
                return self._condition(argument)
        raise Broken(f"{name} is not understood in a condition")

    def _sub(self, argument: Any) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument

        def one(found: re.Match[str]) -> str:
            name = found.group(1)
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in variables:
                return _text(self.resolve(variables[name]))
            if name in PSEUDO or "." not in name:
                return _text(self._ref(name))
            return _text(self._attribute(*name.split(".", 1)))

        return re.sub(r"\$\{([^}]+)\}", one, text)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        return self._attribute(name, "Ref")

    def _attribute(self, target: str, attribute: str) -> str:
        resource = self.raw.get(target)
        if resource is None:
            raise Broken(f"a reference to {target}, which is not made")
        make = _ATTRIBUTES.get(resource["Type"], {}).get(attribute)
        if make is None:
            raise Broken(f"{target} is a {resource['Type']} and has no attribute {attribute} known here")
        return make(self, target)

    def property(self, target: str, name: str) -> str:
        return _text(self.resolve(self.raw[target]["Properties"][name]))


_NO_VALUE = object()


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _arn(service: str, resource: str, region: str = REGION) -> str:
    return f"arn:{PARTITION}:{service}:{region}:{ACCOUNT}:{resource}"


def _named(service: str, prefix: str, name: str, suffix: str = ""):
    return lambda template, target: _arn(service, prefix + template.property(target, name) + suffix)


def _name(name: str):
    return lambda template, target: template.property(target, name)


def _secret(template: Template, target: str) -> str:
    return _arn("secretsmanager", f"secret:{template.property(target, 'Name')}-??????")


_ATTRIBUTES = {
    "AWS::SQS::Queue": {
        "Ref": lambda template, target: (
            f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{template.property(target, 'QueueName')}"
        ),
        "Arn": _named("sqs", "", "QueueName"),
        "QueueName": _name("QueueName"),
    },
    "AWS::DynamoDB::Table": {"Ref": _name("TableName"), "Arn": _named("dynamodb", "table/", "TableName")},
    "AWS::Lambda::Function": {"Ref": _name("FunctionName"), "Arn": _named("lambda", "function:", "FunctionName")},
    "AWS::Lambda::Url": {"FunctionUrl": lambda template, target: f"https://{target.lower()}.lambda-url.{REGION}.on.aws/"},
    # AWS ends it so: the streams of the group.
    "AWS::Logs::LogGroup": {"Ref": _name("LogGroupName"), "Arn": _named("logs", "log-group:", "LogGroupName", ":*")},
    "AWS::SecretsManager::Secret": {"Ref": _secret, "Id": _secret},
    "AWS::IAM::Role": {
        "Ref": lambda _, target: f"{STACK}-{target}",
        "Arn": lambda _, target: f"arn:{PARTITION}:iam::{ACCOUNT}:role/{STACK}-{target}",
    },
    "AWS::IAM::ManagedPolicy": {
        "Ref": lambda _, target: f"arn:{PARTITION}:iam::{ACCOUNT}:policy/{STACK}-{target}",
    },
    "AWS::SNS::Topic": {"Ref": _named("sns", "", "TopicName"), "TopicName": _name("TopicName")},
}
