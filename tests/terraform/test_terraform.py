"""The module as Terraform itself sees it, with a stand-in for the provider (provider.py): no account, no network."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from provider import serve
from schema import PROVIDER, schema
from test_agreement import VARIANTS, variables_of
from translate import FUNCTIONS, MODULE, computed, texts, translate

TOOLS = Path(__file__).parents[2] / ".ci/tools"
OLDEST = (1, 11)
DATA_SOURCES = ("aws_caller_identity", "aws_partition", "aws_region")
# For the example with S3 keys.
MORE = ("aws_iam_role_policy_attachment",)


@pytest.fixture(scope="session")
def standin():
    """The stand-in, running."""
    for tool in ("terraform", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"NOT CHECKED: {tool} is not installed")
    version = subprocess.run(["terraform", "version", "-json"], capture_output=True, text=True, env=environment())
    version = json.loads(version.stdout)["terraform_version"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        pytest.skip(f"NOT CHECKED: terraform is {version}, the module needs 1.11")
    kinds = {kind for text in texts().values() for kind in re.findall(r'^resource "(\w+)"', text, re.M)}
    try:
        found = schema(TOOLS, sorted({*kinds, *MORE}), DATA_SOURCES)
    except subprocess.CalledProcessError:
        pytest.skip("NOT CHECKED: the provider's schema cannot be had here (npm does not answer)")
    provider, server, reattach = serve(found)
    yield provider, reattach
    server.stop(None)


def environment(**more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
    return clean | {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"} | more


class Terraform:
    def __init__(self, directory, reattach):
        self.directory, self.reattach = directory, reattach

    def __call__(self, *arguments, variables=None, ok=True):
        given = {name: it if isinstance(it, str) else json.dumps(it) for name, it in (variables or {}).items()}
        more = {f"TF_VAR_{name}": it for name, it in given.items()}
        run = subprocess.run(
            ["terraform", *arguments],
            cwd=self.directory,
            env=environment(TF_REATTACH_PROVIDERS=self.reattach, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = run.stdout + run.stderr
        assert ok is None or (run.returncode == 0) is ok, said
        return said


@pytest.fixture
def terraform(standin, tmp_path):
    """Runs Terraform in a copy of the module."""
    directory = tmp_path / "module"
    shutil.copytree(MODULE, directory, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    run = Terraform(directory, standin[1])
    run("init", "-backend=false", "-input=false", "-no-color")
    return run


def zips(directory):
    """Any file will do."""
    return {"zips": {name: str(directory / "main.tf") for name in FUNCTIONS}}


def test_it_is_valid(terraform):
    assert "The configuration is valid" in terraform("validate", "-no-color")


@pytest.mark.parametrize("example", sorted(path.name for path in (MODULE / "examples").iterdir()))
def test_each_example_is_valid(terraform, example):
    run = Terraform(terraform.directory / "examples" / example, terraform.reattach)
    run("init", "-backend=false", "-input=false", "-no-color")
    assert "The configuration is valid" in run("validate", "-no-color")


def test_its_own_tests_pass(terraform):
    said = terraform("test", "-no-color", ok=None)
    passed, failed = re.search(r"(\d+) passed, (\d+) failed", said).groups()
    assert (int(passed) >= 10, failed) == (True, "0"), said
    print(f"terraform test: {passed} passed")


def differs(found, expected, path):
    """The first place where a state does not say what was expected. It may say more; sets may be in any order."""
    if isinstance(expected, str) and expected.startswith("{"):
        found, expected = json.loads(found), json.loads(expected)
    if isinstance(expected, dict):
        for key, value in expected.items():
            wrong = differs(found.get(str(key)), value, f"{path}.{key}")
            if wrong:
                return wrong
        return None
    if isinstance(expected, list):
        left = list(found or [])
        for value in expected:
            match = next((it for it in left if not differs(it, value, path)), None)
            if match is None:
                return f"{path}: {found} has no {value}"
            left.remove(match)
        return f"{path}: {left} more" if left else None
    # In a map of strings a number becomes its text.
    same = found == expected or isinstance(found, str) and found == str(expected)
    return None if same else f"{path}: {found!r}, not {expected!r}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_terraform_works_out_what_the_agreement_was_tested_with(terraform, variant):
    """The agreement with the template rests on hcl.py; here it is compared with Terraform, value by value."""
    given = variables_of(VARIANTS[variant]) | zips(terraform.directory) | {"name": "demo"}
    terraform("apply", "-auto-approve", "-input=false", "-no-color", variables=given)
    state = json.loads(terraform("show", "-json"))["values"]
    of_terraform = {it["address"]: it for it in state["root_module"]["resources"] if it["mode"] == "managed"}

    module, _ = translate(texts(), given)
    ours = module.resources()
    assert set(of_terraform) == set(ours)
    # What the stand-in made up stands for what only the provider knows.
    names = {
        value: computed(ours[address], attribute)
        for address, it in of_terraform.items()
        for attribute, value in it["values"].items()
        if attribute in ("arn", "url", "function_url") and str(value).startswith("made-up")
    }
    text = re.sub(r"made-up-\w+-\d+", lambda it: names.get(it[0], it[0]), json.dumps(of_terraform))
    of_terraform = json.loads(text)
    for address, resource in ours.items():
        # The hash is not worked out here; the value of the root key must not be in the state, see below.
        left_out = ("lifecycle", "source_code_hash", "secret_string_wo")
        expected = {key: it for key, it in resource.items() if key not in left_out}
        assert differs(of_terraform[address]["values"], expected, address) is None


def test_lambda_has_its_permissions_before_poster_is_connected_to_a_vpc(terraform):
    outside = zips(terraform.directory)
    inside = outside | variables_of(VARIANTS["poster in a VPC"])

    def apply(variables):
        return terraform("apply", "-auto-approve", "-input=false", "-no-color", variables=variables)

    apply(outside)
    said = apply(inside)
    assert "Resources: 1 added, 1 changed, 0 destroyed" in said, said
    state = json.loads((terraform.directory / "terraform.tfstate").read_text())
    (functions,) = (it["instances"] for it in state["resources"] if it["type"] == "aws_lambda_function")
    (poster,) = (it for it in functions if it["index_key"] == "poster")
    assert "aws_iam_role_policy.poster_network" in poster["dependencies"]
    # And back again.
    said = apply(outside)
    assert "Resources: 0 added, 1 changed, 1 destroyed" in said, said


def test_the_root_key_is_written_once_and_remembered_nowhere(terraform, standin):
    provider, _ = standin
    provider.written.clear()
    given = zips(terraform.directory)
    terraform("apply", "-auto-approve", "-input=false", variables=given)
    (key,) = provider.written
    state = terraform.directory / "terraform.tfstate"
    assert key and key not in state.read_text()

    def plan():
        said = terraform("plan", "-out=plan", "-input=false", "-no-color", variables=given)
        assert key not in said + json.dumps(json.loads(terraform("show", "-json", "plan")))
        return said

    assert "No changes" in plan()

    # Rotated twice by the operator: AWS has moved its labels on, and the module's own has stayed.
    for labels in (["AWSPREVIOUS", "first"], ["first"]):
        content = json.loads(state.read_text())
        (version,) = (it for it in content["resources"] if it["type"] == "aws_secretsmanager_secret_version")
        version["instances"][0]["attributes"]["version_stages"] = labels
        content["serial"] += 1
        state.write_text(json.dumps(content))
        assert "No changes" in plan()
    assert provider.written == [key]


@pytest.mark.parametrize(
    ("generate", "key"),
    # Of two that hang together Terraform names the one it would destroy first.
    [(True, "aws_secretsmanager_secret_version.root_key[0]"), (False, "aws_secretsmanager_secret.root_key")],
)
def test_tables_and_root_key_are_not_destroyed(terraform, generate, key):
    given = zips(terraform.directory) | {"generate_root_key": generate}
    terraform("apply", "-auto-approve", "-input=false", variables=given)
    said = terraform("plan", "-destroy", "-input=false", "-no-color", variables=given, ok=False)
    refused = set(re.findall(r"Resource\s+(\S+)\s+has\s+lifecycle.prevent_destroy", said))
    assert refused == {"aws_dynamodb_table.rules", "aws_dynamodb_table.statuses", key}, said


def test_a_key_that_is_there_is_not_given_up_by_a_variable(terraform):
    given = zips(terraform.directory)
    terraform("apply", "-auto-approve", "-input=false", variables=given)
    said = terraform("plan", "-input=false", "-no-color", variables=given | {"generate_root_key": False}, ok=False)
    assert "Instance cannot be destroyed" in said


def test_a_stack_can_be_given_up_as_the_readme_says(terraform):
    given = zips(terraform.directory)
    terraform("apply", "-auto-approve", "-input=false", variables=given)
    readme = (terraform.directory / "README.md").read_text()
    (kept,) = re.findall(r"^terraform state rm (.*?[^\\])$", readme, re.M | re.S)
    kept = kept.replace("module.commitstatus.", "").replace("\\\n", " ").replace("'", "").split()
    assert len(kept) == 4
    terraform("state", "rm", *kept)
    said = terraform("destroy", "-auto-approve", "-input=false", "-no-color", variables=given)
    assert re.search(r"Destroy complete! Resources: \d+ destroyed", said)


FAULTS = [
    (
        "functions.tf",
        "memory_size   =",
        "memory_sice   =",
        'An argument named "memory_sice" is not expected',
    ),
    (
        "functions.tf",
        '  authorization_type = "NONE"\n',
        "",
        'The argument "authorization_type" is required',
    ),
    (
        "functions.tf",
        "maximum_concurrency = each.value.maximum_concurrency",
        'maximum_concurrency = "many"',
        "a number is required",
    ),
    (
        "functions.tf",
        "tracing_config {\n    mode = var.tracing\n  }",
        "tracing_config = { mode = var.tracing }",
        'An argument named "tracing_config" is not expected here',
    ),
    (
        "functions.tf",
        "aws_cloudwatch_log_group.function[each.key]",
        "aws_cloudwatch_log_group.functions[each.key]",
        "undeclared resource",
    ),
    (
        "outputs.tf",
        "aws_dynamodb_table.rules.name",
        "aws_dynamodb_table.rules.table_name",
        'no argument, nested block, or exported attribute named "table_name"',
    ),
    (
        "queues.tf",
        '["arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name}-${each.key}.fifo"]',
        "[aws_sqs_queue.this[each.key].arn]",
        "Cycle",
    ),
    (
        "tables.tf",
        "  ttl {\n",
        "  ttl {\n    enabled = true\n  }\n\n  ttl {\n",
        'No more than 1 "ttl" blocks are allowed',
    ),
    (
        "tables.tf",
        "  ttl {\n",
        "  encryption {\n  }\n\n  ttl {\n",
        'Blocks of type "encryption" are not expected',
    ),
    (
        "root_key.tf",
        "secret_string_wo         =",
        "secret_string            =",
        "Invalid use of ephemeral value",
    ),
]


@pytest.mark.parametrize(("file", "there", "instead", "says"), FAULTS, ids=[says for *_, says in FAULTS])
def test_a_fault_is_found_by_validate(terraform, file, there, instead, says):
    path = terraform.directory / file
    text = path.read_text()
    assert text.count(there) == 1, f"{file} has this {text.count(there)} times: {there}"
    path.write_text(text.replace(there, instead))
    said = terraform("validate", "-no-color", ok=False)
    assert says in re.sub(r"\s+", " ", said)


def test_the_readme_names_the_version_of_the_schema():
    assert f"schema of provider {PROVIDER}" in (MODULE / "README.md").read_text()
