"""The template with every set of parameters that makes a difference, against every policy."""

import re
import tomllib

import pytest

import policies
import source
from template import ROOT, TEMPLATE, Broken, Template

VARIANTS = {
    "defaults": {},
    "no-tls": {"EnforceTls": "false", "AllowedPrivateRanges": "127.0.0.0/8"},
    "reserved": {"IntakeReservedConcurrency": "7", "Architecture": "x86_64", "MaxEventAgeHours": "48"},
    "vpc": {
        "PosterSubnetIds": f"{policies.SUBNET},{policies.OLD_SUBNET}",
        "PosterSecurityGroupIds": policies.GROUP,
        "AllowedPrivateRanges": "10.20.0.0/16",
    },
    "mail": {"AlarmEmail": "ops@example.com", "Stage": "dev", "LogLevel": "DEBUG", "LogRetentionDays": "365", "Tracing": "Active"},
}


@pytest.fixture(scope="session", params=VARIANTS)
def template(request):
    return Template(TEMPLATE.read_text(), VARIANTS[request.param])


@pytest.mark.parametrize("policy", policies.ALL.values(), ids=policies.ALL)
def test_policy(policy, template):
    policy(template)


@pytest.mark.parametrize("name", source.FUNCTIONS)
def test_a_function_is_granted_the_calls_its_code_makes(name):
    granted = {call["action"] for call in policies.GRANTS["roles"][name]}
    # Not called by the code: what Lambda does with the role.
    by_lambda = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    by_lambda |= {action for action in granted if action.startswith(("logs:", "xray:"))}
    assert granted - by_lambda == source.actions(f"functions/{name}/src/adapters")


def test_the_operator_is_granted_the_calls_the_tool_makes():
    granted = {call["action"] for call in policies.GRANTS["operator"]["calls"]}
    assert granted == source.actions("infra/cli/src")


def test_every_wildcard_is_named_and_explained():
    resources, wildcards = policies.GRANTS["resources"], policies.GRANTS["wildcards"]
    assert {name for name, arn in resources.items() if "*" in arn or "?" in arn} == set(wildcards)
    assert all(len(reason) > 15 for reason in wildcards.values())
    used = {call["resource"] for calls in policies.GRANTS["roles"].values() for call in calls}
    used |= {call["resource"] for call in policies.GRANTS["operator"]["calls"]}
    used |= {call["resource"] for calls in policies.GRANTS["vpc"].values() for call in calls}
    assert used == set(resources), "resources nobody is granted"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Parameters: {}\nResources: {A: 1, A: 2}", "key A twice"),
        ("Parameters: &p {}\nResources: *p", "anchor"),
        ("Parameters: {", "not YAML"),
    ],
)
def test_yaml_that_cloudformation_reads_otherwise_is_refused(text, problem):
    with pytest.raises(Broken, match=problem):
        Template(text)


def test_samconfig_deploys_this_template_without_more_rights_than_it_needs():
    config = tomllib.loads((ROOT / "infra" / "samconfig.toml").read_text())
    deploy = config["default"]["deploy"]["parameters"]
    # Roles have no names of their own, and there are no macros.
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["disable_rollback"] is False and deploy["confirm_changeset"] is True
    assert "RoleName" not in TEMPLATE.read_text()
    overrides = deploy.get("parameter_overrides", [])
    names = re.findall(r"(\w+)=", " ".join([overrides] if isinstance(overrides, str) else overrides))
    assert set(names) <= set(Template(TEMPLATE.read_text()).parameters)


def test_a_region_is_not_written_out():
    # Nor an account: the same template deploys anywhere.
    text = TEMPLATE.read_text()
    assert not re.search(r"\b[a-z]{2}-(north|south|east|west|central)[a-z]*-\d\b", text)
    assert not re.search(r"\b\d{12}\b", text)
    assert "arn:aws:" not in text
