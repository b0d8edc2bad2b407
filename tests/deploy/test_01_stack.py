"""`sam deploy` creates what the template says."""

from stack import FUNCTIONS, QUEUES, Stack

# What SAM makes of the properties of a function.
OF_SAM = {"AWS::Lambda::Url", "AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping", "AWS::Lambda::EventInvokeConfig"}
# Nobody has these with the parameters of this test: EnforceTls is false, AlarmEmail is empty.
CONDITIONS_THAT_DO_NOT_HOLD = {"RefusesPlainHttp", "HasAlarmEmail"}


def test_every_resource_of_the_template_is_there(stack: Stack) -> None:
    expected = {
        name: resource["Type"].replace("AWS::Serverless::Function", "AWS::Lambda::Function")
        for name, resource in stack.template["Resources"].items()
        if resource.get("Condition") not in CONDITIONS_THAT_DO_NOT_HOLD
    }

    found = stack.resources()

    types = {name: resource["ResourceType"] for name, resource in found.items()}
    assert {name: kind for name, kind in types.items() if name in expected} == expected
    assert {kind for name, kind in types.items() if name not in expected} <= OF_SAM
    assert {"IntakeUrl", "RulesEvents", "PosterPosts"} <= set(types)
    assert {resource["ResourceStatus"] for resource in found.values()} == {"CREATE_COMPLETE"}


def test_outputs_name_what_is_there(stack: Stack) -> None:
    outputs = stack.outputs

    assert set(outputs) == set(stack.template["Outputs"])
    assert outputs["FunctionUrl"].startswith("https://") and outputs["FunctionUrl"].endswith("/")
    assert outputs["RulesTableName"] == f"{stack.name}-rules"
    assert outputs["StatusesTableName"] == f"{stack.name}-statuses"
    assert outputs["EventsQueueName"] == f"{stack.name}-events.fifo"
    assert outputs["PostsQueueName"] == f"{stack.name}-posts.fifo"
    assert outputs["EventsDeadQueueName"] == f"{stack.name}-events-dead.fifo"
    assert outputs["PostsDeadQueueName"] == f"{stack.name}-posts-dead.fifo"
    secret = stack.secrets.describe_secret(SecretId=f"{stack.name}/root-key")
    assert outputs["RootKeySecret"] == secret["ARN"]
    assert f"COMMITSTATUS_URL={outputs['FunctionUrl']}" in outputs["ConnectFirstCluster"]
    assert f"COMMITSTATUS_STACK={stack.name}" in outputs["ConnectFirstCluster"]


def test_functions_and_queues_have_the_names_the_tool_and_the_documents_use(stack: Stack) -> None:
    functions = {function["FunctionName"] for function in stack.lambdas.list_functions()["Functions"]}
    queues = {url.rsplit("/", 1)[1] for url in stack.sqs.list_queues()["QueueUrls"]}

    assert functions == {f"{stack.name}-{function}" for function in FUNCTIONS}
    assert queues == {f"{stack.name}-{queue}.fifo" for queue in QUEUES}


def test_the_root_key_was_generated(stack: Stack) -> None:
    [value] = stack.secret_values(f"{stack.name}/root-key").values()

    # The emulator leaves punctuation in, whatever the template says.
    assert len(value) == 64
