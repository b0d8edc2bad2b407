"""Queues are for TLS only. Last of all that is sent: the emulator has no TLS, so nothing gets through from here on."""

import pytest
from flux import Cluster, event, new_commit
from stack import QUEUES, Stack
from tool import Tool

pytestmark = pytest.mark.skipif("config.getoption('--keep')", reason="the stack is kept for a look")


def test_queues_that_want_tls_refuse_plain_http(stack: Stack, tool: Tool, dev: Cluster) -> None:
    body = event("ReconciliationSucceeded", new_commit(), namespace="elsewhere")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 202
    urls = {queue: stack.queue_url(queue) for queue in QUEUES}

    # With another parameter too: the emulator does not count a condition that turns as a change.
    stack.deploy(LogRetentionDays="7", EnforceTls="true")

    sqs = stack.client("sqs", tool.credentials)
    for queue, url in urls.items():
        with pytest.raises(sqs.exceptions.ClientError, match="explicit deny"):
            sqs.get_queue_url(QueueName=url.rsplit("/", 1)[1])
        assert f"{queue.title().replace('-', '')}QueuePolicy" in stack.resources()
    body = event("ReconciliationSucceeded", new_commit(), namespace="elsewhere")
    assert stack.request("POST", dev.path, body, dev.signed(body)).code == 503
