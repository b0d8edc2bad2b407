"""infra/terraform and infra/template.yaml are the same stack. No Terraform is needed for it."""

import json
import re

import pytest
from agreement import DIFFERENCES, INPUTS, ONLY_TERRAFORM, TEMPLATE, disagreements, of_template
from faults import FAULTS
from translate import FUNCTIONS, MODULE, texts, translate

# Ids have 17 digits, old ones 8.
SUBNETS, GROUP = "subnet-0123456789abcdef0,subnet-0a1b2c3d", "sg-0123456789abcdef0"

VARIANTS = {
    "defaults": {},
    "poster in a VPC": {"PosterSubnetIds": SUBNETS, "PosterSecurityGroupIds": GROUP},
    "everything else": {
        "Stage": "dev",
        "Architecture": "x86_64",
        "LogLevel": "DEBUG",
        "LogRetentionDays": 7,
        "Tracing": "Active",
        "AlarmEmail": "oncall@example.com",
        "IntakeReservedConcurrency": 20,
        "RulesMaximumConcurrency": 2,
        "PosterMaximumConcurrency": 50,
        "MaxEventAgeHours": 48,
        "AllowedPrivateRanges": "10.20.0.0/16,fd00::/8",
        "PosterSubnetIds": "subnet-0a1b2c3d",
        "PosterSecurityGroupIds": f"{GROUP},sg-0a1b2c3d",
        "EnforceTls": "false",
    },
}


def variables_of(parameters):
    """The same in the module's words."""
    lists = ("AllowedPrivateRanges", "PosterSubnetIds", "PosterSecurityGroupIds")
    as_variable = {"EnforceTls": lambda it: it == "true"}
    as_variable |= dict.fromkeys(lists, lambda it: it.split(",") if it else [])
    return {INPUTS[name]: as_variable.get(name, lambda it: it)(value) for name, value in parameters.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_two_forms_agree(variant):
    parameters = VARIANTS[variant]
    assert disagreements(TEMPLATE.read_text(), texts(), "demo", parameters, variables_of(parameters)) == []


def test_one_variant_changes_every_parameter():
    template, _, _ = of_template(TEMPLATE.read_text(), "demo", {})
    assert set(VARIANTS["everything else"]) == set(template.parameters)
    same = [name for name, value in VARIANTS["everything else"].items() if template.given[name] == value]
    assert same == []


def test_parameters_and_variables_are_the_same():
    template, _, _ = of_template(TEMPLATE.read_text(), "demo", {})
    module, _ = translate(texts(), {})
    assert set(template.parameters) == set(INPUTS)
    assert set(module.variables) - ONLY_TERRAFORM == set(INPUTS.values())
    defaults = variables_of({name: it["Default"] for name, it in template.parameters.items()})
    assert {name: module.default(name) for name in defaults} == defaults


@pytest.mark.parametrize(
    ("parameter", "value", "taken"),
    [
        ("Stage", "prod", True),
        ("Stage", "Prod", False),
        ("Stage", "x" * 21, False),
        ("Architecture", "x86_64", True),
        ("Architecture", "x86", False),
        ("LogLevel", "DEBUG", True),
        ("LogLevel", "WARN", False),
        ("LogRetentionDays", 3653, True),
        ("LogRetentionDays", 31, False),
        ("AlarmEmail", "", True),
        ("AlarmEmail", "a@b", True),
        ("AlarmEmail", "a b@c", False),
        ("AlarmEmail", "nobody", False),
        ("IntakeReservedConcurrency", 0, True),
        ("IntakeReservedConcurrency", -1, False),
        ("IntakeReservedConcurrency", 10001, False),
        ("RulesMaximumConcurrency", 1, False),
        ("RulesMaximumConcurrency", 1000, True),
        ("PosterMaximumConcurrency", 2, True),
        ("PosterMaximumConcurrency", 1001, False),
        ("MaxEventAgeHours", 0, False),
        ("MaxEventAgeHours", 2160, True),
        ("AllowedPrivateRanges", "10.0.0.0/8", True),
        ("AllowedPrivateRanges", "10.0.0.0/8, 10.0.0.0/8", False),
        ("AllowedPrivateRanges", "10.0.0.0", False),
        ("PosterSubnetIds", "subnet-0a1b2c3d", True),
        ("PosterSubnetIds", SUBNETS, True),
        ("PosterSubnetIds", SUBNETS.replace(",", ", "), False),
        ("PosterSubnetIds", "subnet-0a1b2c3", False),
        ("PosterSubnetIds", GROUP, False),
        ("PosterSubnetIds", ",".join(["subnet-0a1b2c3d"] * 16), True),
        ("PosterSubnetIds", ",".join(["subnet-0a1b2c3d"] * 17), False),
        ("PosterSecurityGroupIds", "", True),
        ("PosterSecurityGroupIds", GROUP, True),
        ("PosterSecurityGroupIds", "default", False),
        ("PosterSecurityGroupIds", ",".join([GROUP] * 5), True),
        ("PosterSecurityGroupIds", ",".join([GROUP] * 6), False),
    ],
)
def test_both_take_and_refuse_the_same_values(parameter, value, taken):
    template, _, _ = of_template(TEMPLATE.read_text(), "demo", {})
    (variable, given) = next(iter(variables_of({parameter: value}).items()))
    # Subnets are refused without a security group, see below.
    others = {"poster_security_group_ids": [GROUP]} if parameter == "PosterSubnetIds" else {}
    module, _ = translate(texts(), others | {variable: given})
    assert template.accepts(parameter, value) is taken
    assert (module.refused(variable) == []) is taken


@pytest.mark.parametrize(
    ("subnets", "groups", "taken"),
    [("", "", True), (SUBNETS, GROUP, True), (SUBNETS, "", False), ("", GROUP, False)],
)
def test_both_want_subnets_and_security_groups_together(subnets, groups, taken):
    parameters = {"PosterSubnetIds": subnets, "PosterSecurityGroupIds": groups}
    template, _, _ = of_template(TEMPLATE.read_text(), "demo", parameters)
    module, _ = translate(texts(), variables_of(parameters))
    assert template.asserts() is taken
    assert (module.refused("poster_subnet_ids") == []) is taken


def test_the_root_key_is_made_once_and_its_value_is_in_no_state():
    module, translated = translate(texts(), {})
    # A version with a label of its own is never removed by AWS, and so never made again.
    assert translated.version_of_root_key == {"number": 1, "stages": ["AWSCURRENT", "first"]}
    assert translated.lifecycle_of_root_key == {
        "ignore_changes": ["secret_string_wo_version", "version_stages"],
        "prevent_destroy": True,
    }
    assert translated.recovery_of_root_key == 30
    kinds = {block.labels[0] for block in module.top.all("data")}
    assert kinds == {"aws_caller_identity", "aws_partition", "aws_region"}, "data sources are kept in the state"
    assert {it.kind for it in module.resources().values() if it.kind.startswith("random")} == set()


def test_nothing_that_holds_data_can_be_destroyed():
    _, translated = translate(texts(), {})
    kept = {name for name, it in translated.resources.items() if it.get("DeletionPolicy") == "Retain"}
    assert kept == {"RulesTable", "StatusesTable", "RootKey"}


def test_a_root_key_of_ones_own():
    _, translated = translate(texts(), {"generate_root_key": False})
    assert "GenerateSecretString" not in translated.resources["RootKey"]["Properties"]


@pytest.mark.parametrize("s3", [False, True])
def test_code_comes_from_zips_or_from_a_bucket(s3, tmp_path):
    zips = {}
    for name in FUNCTIONS:
        path = tmp_path / f"{name}.zip"
        path.write_bytes(b"")
        zips[name] = str(path)
    keys = {name: f"r1/{name}.zip" for name in FUNCTIONS}
    versions = dict.fromkeys(FUNCTIONS)
    in_bucket = {"zips": None, "s3_bucket": "b", "s3_keys": keys, "s3_object_versions": versions}
    variables = in_bucket if s3 else {"zips": zips}
    module, translated = translate(texts(), variables)
    assert [module.refused(name) for name in ("zips", "s3_bucket")] == [[], []]
    for name in FUNCTIONS:
        code = translated.resources[name.title()]["Properties"]["Code"]
        expected = {"bucket": "b", "key": keys[name]} if s3 else {"file": zips[name], "hash": f"<hash of {zips[name]}>"}
        assert code == expected


@pytest.mark.parametrize(
    "variables",
    [
        {"zips": None},
        {"zips": {name: f"/nowhere/{name}.zip" for name in FUNCTIONS}},
        {"s3_keys": {name: name for name in FUNCTIONS}},
    ],
)
def test_neither_both_nor_none_nor_files_that_are_not_there(variables):
    module, _ = translate(texts(), {})
    module.scope["var"].update(variables)  # without code there are no resources to work out, so only the validation
    assert module.refused("zips")


def test_tags_of_ones_own_are_on_everything_that_has_the_stage():
    _, translated = translate(texts(), {"tags": {"team": "delivery"}})
    tagged = {name: it["Properties"]["Tags"] for name, it in translated.resources.items() if "Tags" in it["Properties"]}
    assert len(tagged) > 40
    for tags in tagged.values():
        assert tags == [{"Key": "stage", "Value": "prod"}, {"Key": "team", "Value": "delivery"}]


def lines_of_readme():
    """Of the tables of inputs and outputs."""
    source = texts()["variables.tf"]
    module, _ = translate(texts(), {})
    inputs, outputs = [], []
    for name, block in module.variables.items():
        kind = re.search(rf'variable "{name}" {{.*?\n  type += (\w+(?:\(\w+\))?)', source, re.S)[1]
        default = "" if "default" not in block.attributes else json.dumps(block.attributes["default"]({}))
        inputs.append(f"| `{name}` | {kind} | `{default}` | {block.attributes['description']({})} |")
    for block in module.top.all("output"):
        outputs.append(f"| `{block.labels[0]}` | {block.attributes['description']({})} |")
    return inputs, outputs


def test_the_readme_has_the_inputs_and_outputs():
    inputs, outputs = lines_of_readme()
    readme = (MODULE / "README.md").read_text()
    assert [line for line in readme.splitlines() if re.match(r"\| `\w+` \| \w+(\(\w+\))? \| `", line)] == inputs
    assert [line for line in inputs + outputs if line not in readme.splitlines()] == []
    assert f"{len(FAULTS)} faults in one form alone" in readme


def test_every_difference_has_a_reason():
    assert all(len(reason) > 20 for _, _, reason in DIFFERENCES)
