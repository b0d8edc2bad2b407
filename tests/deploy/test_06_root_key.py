"""The root key is rotated without rejecting anybody, and the one before ends when it is retired."""

from flux import Cluster, event, new_commit
from stack import Stack
from tool import Tool
from waiting import until


def sends(stack: Stack, cluster: Cluster) -> int:
    body = event("ReconciliationSucceeded", new_commit(), namespace="elsewhere")
    return stack.request("POST", cluster.path, body, cluster.signed(body)).code


def test_the_root_key_is_rotated_and_retired(stack: Stack, tool: Tool, dev: Cluster) -> None:
    tool.runs("cluster add rotating")
    before = tool.connect("rotating")
    assert sends(stack, before) == 202

    tool.runs("root-key rotate")
    assert "previous" in tool.runs("root-key status").out
    assert tool.tries("root-key retire").code != 0, "it locks out clusters that were not connected since"
    after = tool.connect("rotating")
    assert after.key != before.key
    # In place of the ten seconds for which one that is warm may not look for a key it does not know.
    stack.renew("intake")
    assert sends(stack, before) == 202
    assert sends(stack, after) == 202
    assert sends(stack, dev) == 202

    old = Cluster("dev", dev.address, dev.key)
    dev.key = tool.connect("dev").key
    # Both were seen to send with the old one, and for six minutes a function that has not noticed the rotation could be
    # who says that they do no longer.
    lines = lambda: [line.split() for line in tool.runs("root-key status").out.splitlines()]
    until("dev was seen to send with the old one", lambda: ["dev", "previous"] in lines())
    assert "dev" in tool.tries("root-key retire").err
    tool.runs("root-key retire --force")
    # In place of the five minutes for which one that is warm goes on accepting it.
    stack.renew("intake")
    assert sends(stack, before) == 401
    assert sends(stack, old) == 401
    assert sends(stack, after) == 202
    assert sends(stack, dev) == 202
    assert "no other is accepted" in tool.runs("root-key status").out
    tool.runs("cluster delete rotating")
