"""A test of the tests: single faults people make, put into the template one by one. Each must be caught, by the check that is
named beside it in faults.toml, and the template as it is by none.

A fault names a policy of policies.py; or `translation`, if the template cannot be read or translated at all; or `cfn-lint`
with its rule, if nothing else catches it.
"""

import re
import tomllib

import pytest
from cfnlint import api as cfnlint
from cfnlint.config import ManualArgs

import policies
from template import ROOT, TEMPLATE, Broken, Template

FAULTS = tomllib.loads((ROOT / "tests" / "infra" / "faults.toml").read_text())["fault"]
TEXT = TEMPLATE.read_text()

# Faults in what only some deployments have are seen in these.
VARIANTS = (
    {},
    {"IntakeReservedConcurrency": "7", "AlarmEmail": "ops@example.com"},
    {"EnforceTls": "false"},
    {"PosterSubnetIds": f"{policies.SUBNET},{policies.OLD_SUBNET}", "PosterSecurityGroupIds": policies.GROUP},
)


def seeded(fault: dict[str, str]) -> str:
    """The template with the fault, which must have exactly one place to be."""
    start, end = 0, len(TEXT)
    if "in" in fault:
        block = re.search(rf"(?ms)^  {fault['in']}:\n.*?(?=^  \w|^\w|\Z)", TEXT)
        assert block, f"nothing is called {fault['in']}"
        start, end = block.span()
    part = TEXT[start:end]
    assert part.count(fault["find"]) == 1, f"{part.count(fault['find'])} places for it"
    assert fault["find"] != fault["replace"]
    return TEXT[:start] + part.replace(fault["find"], fault["replace"]) + TEXT[end:]


def caught(text: str) -> set[str]:
    """Which checks object to it, cfn-lint aside."""
    try:
        template = Template(text)
        template.translated  # noqa: B018 - translates
    except (Broken, KeyError, TypeError, AttributeError):
        return {"translation"}
    by = set()
    for parameters in VARIANTS:
        variant = template.variant(parameters)
        for name, policy in policies.ALL.items():
            try:
                policy(variant)
            except (AssertionError, Broken, KeyError, TypeError, ValueError, AttributeError):
                by.add(name)
            if "everything_refers_to_something" in by:
                # The others would stumble over the same, and prove nothing.
                return by
    return by


def linted(text: str) -> set[str]:
    """Rules of cfn-lint that object to it."""
    found = cfnlint.lint(text, config=ManualArgs(regions=["eu-west-1"]))
    return {match.rule.id for match in found}


def test_the_template_itself_is_clean():
    assert caught(TEXT) == set()
    assert linted(TEXT) == set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_a_fault_is_caught(fault):
    text = seeded(fault)
    by, rule = fault["caught_by"], None
    if by.startswith("cfn-lint "):
        by, rule = by.split()
    checks = caught(text)
    if by == "cfn-lint":
        assert checks == set(), f"cfn-lint takes two seconds; {sorted(checks)} would do"
        assert rule in linted(text)
    else:
        assert by in checks, f"caught by {sorted(checks) or 'nothing'}"


def test_there_are_enough_faults_and_each_policy_has_caught_one():
    assert len(FAULTS) >= 45
    assert len({fault["name"] for fault in FAULTS}) == len(FAULTS)
    unproved = set(policies.ALL) - {fault["caught_by"] for fault in FAULTS}
    assert unproved == set(), "these policies have never been seen to fail"
