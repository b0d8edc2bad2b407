"""The SAM template as CloudFormation gets it, with parameters put in.

What a reference says is a name where the template has one, and `<Resource.Attribute>` where only AWS knows it.
"""

import os
import re

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

REGION, ACCOUNT = "eu-west-1", "111122223333"

# What `!Ref` is: the property with the name, or the attribute it equals.
REF = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SQS::Queue": "<QueueUrl>",
    "AWS::SNS::Topic": "<Arn>",
    "AWS::IAM::ManagedPolicy": "<Arn>",
    "AWS::SecretsManager::Secret": "<Arn>",
}
# Attributes that are a property, or another attribute under a second name.
ATTRIBUTES = {"QueueName": "QueueName", "Id": "<Arn>"}
MISSING = object()


class NoPolicies:
    """samtranslator asks for AWS's managed policies; the template names none."""

    def load(self):
        return {}


class Template:
    def __init__(self, text, stack, parameters):
        template = yaml_parse(text)
        given = {"AWS::StackName": stack, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
        given |= {name: it["Default"] for name, it in template["Parameters"].items() if "Default" in it}
        strangers = set(parameters) - set(given)
        assert not strangers, f"no such parameters: {sorted(strangers)}"
        self.parameters = template["Parameters"]
        self.given = given | parameters | {"AWS::NoValue": MISSING}
        for resource in template["Resources"].values():
            if "CodeUri" in resource.get("Properties", {}):
                resource["Properties"]["CodeUri"] = "s3://bucket/key"  # as after `sam deploy` has uploaded it
        os.environ["AWS_DEFAULT_REGION"] = REGION  # the transform asks for one
        self.template = transform(template, dict(parameters), NoPolicies())
        self.conditions = self.template.get("Conditions", {})

    def resources(self):
        return {
            name: self.resolve(it) | {"Type": it["Type"]}
            for name, it in self.template["Resources"].items()
            if "Condition" not in it or self.condition(it["Condition"])
        }

    def outputs(self):
        return {name: self.resolve(it["Value"]) for name, it in self.template["Outputs"].items()}

    def condition(self, name):
        return self.truth(self.conditions[name])

    def truth(self, it):
        ((function, arguments),) = it.items()
        if function == "Condition":
            return self.condition(arguments)
        if function == "Fn::Not":
            return not self.truth(arguments[0])
        if function == "Fn::And":
            return all([self.truth(argument) for argument in arguments])
        if function == "Fn::Equals":
            left, right = (str(self.resolve(argument)) for argument in arguments)
            return left == right
        raise ValueError(f"{function} is not known here")

    def resolve(self, it):
        if isinstance(it, list):
            return [value for value in (self.resolve(value) for value in it) if value is not MISSING]
        if not isinstance(it, dict):
            return it
        if len(it) == 1:
            ((function, argument),) = it.items()
            if function == "Ref":
                return self.ref(argument)
            if function == "Fn::GetAtt":
                parts = argument.split(".", 1) if isinstance(argument, str) else argument
                return self.attribute(*parts)
            if function == "Fn::Sub":
                return re.sub(r"\$\{([^}!]+)\}", lambda found: self.part(found[1]), argument)
            if function == "Fn::Split":
                return str(self.resolve(argument[1])).split(argument[0])
            if function == "Fn::If":
                return self.resolve(argument[1] if self.condition(argument[0]) else argument[2])
            if function.startswith("Fn::"):
                raise ValueError(f"{function} is not known here")
        values = {key: self.resolve(value) for key, value in it.items() if key != "Condition" or "Type" not in it}
        return {key: value for key, value in values.items() if value is not MISSING}

    def part(self, name):
        return str(self.attribute(*name.split(".", 1)) if "." in name else self.ref(name))

    def ref(self, name):
        if name in self.given:
            return self.given[name]
        return self.what(name, REF[self.template["Resources"][name]["Type"]])

    def attribute(self, name, attribute):
        return self.what(name, ATTRIBUTES.get(attribute, f"<{attribute}>"))

    def what(self, name, what):
        resource = self.template["Resources"][name]
        if what.startswith("<"):
            return f"<{name}.{what[1:]}"
        return self.resolve(resource["Properties"][what])

    def asserts(self):
        """Whether CloudFormation takes these parameters together (`Rules`)."""
        return all(
            self.truth(assertion["Assert"])
            for rule in self.template.get("Rules", {}).values()
            if self.truth(rule["RuleCondition"])
            for assertion in rule["Assertions"]
        )

    def accepts(self, name, value):
        """Whether CloudFormation takes the value for the parameter."""
        rules = self.parameters[name]
        if "AllowedValues" in rules and str(value) not in map(str, rules["AllowedValues"]):
            return False
        if "AllowedPattern" in rules and not re.fullmatch(rules["AllowedPattern"], str(value)):
            return False
        if rules["Type"] == "Number":
            return rules.get("MinValue", value) <= value <= rules.get("MaxValue", value)
        return True
