"""The operator's tool, with the rights of the stack's OperatorPolicy and no others."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from flux import Cluster
from stack import Credentials, Stack

USER = "operator"


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Tool:
    """The compiled binary `commitstatus`, as a person runs it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        # All that commands printed but `connect`, which prints the key of a cluster.
        self.printed: list[str] = []
        self.keys: set[str] = set()
        iam = stack.iam
        iam.create_user(UserName=USER)
        iam.attach_user_policy(UserName=USER, PolicyArn=stack.outputs["OperatorPolicyArn"])
        # AWS has no such action: sqs:ChangeMessageVisibility, which the policy has, is for both calls. The emulator asks
        # for one of its own.
        iam.put_user_policy(
            UserName=USER,
            PolicyName="of-the-emulator",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": "sqs:ChangeMessageVisibilityBatch",
                            "Resource": f"arn:aws:sqs:*:*:{stack.name}-*-dead.fifo",
                        }
                    ],
                }
            ),
        )
        key = iam.create_access_key(UserName=USER)["AccessKey"]
        self.credentials = Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    @property
    def environment(self) -> dict[str, str]:
        return self._stack.environment(self.credentials) | {
            "COMMITSTATUS_STACK": self._stack.name,
            "COMMITSTATUS_URL": self._stack.outputs_once["FunctionUrl"],
        }

    def tries(self, command: str, *more: str, stdin: str = "") -> Said:
        """Runs a command; the words of `command` are its arguments, each of `more` is another one."""
        arguments = [*command.split(), *more]
        ran = subprocess.run(
            [self._stack.settings.tool, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if arguments[0] != "connect":
            self.printed.append(ran.stdout + ran.stderr)
        return Said(ran.returncode, ran.stdout, ran.stderr)

    def runs(self, command: str, *more: str, stdin: str = "") -> Said:
        """As `tries`; it must succeed."""
        said = self.tries(command, *more, stdin=stdin)
        assert said.code == 0, f"commitstatus {command}: {said.text}"
        return said

    def connect(self, cluster: str) -> Cluster:
        """Connects a cluster; what its objects say."""
        manifests = self.runs(f"connect {cluster} --namespace apps").out

        def field(name: str) -> str:
            return manifests.split(f'  {name}: "', 1)[1].split('"', 1)[0]

        self.keys.add(field("token"))
        return Cluster(cluster, field("address"), field("token"))

    def dead_letters(self) -> list[dict]:
        return json.loads(self.runs("dlq list -o json").out)["dead_letters"]
