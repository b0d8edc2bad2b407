"""The code and the template agree: changes of the code that the template does not follow are caught. Nothing is written; the
code is only read otherwise than it is."""

import pytest

import policies
import source
from template import TEMPLATE, Template

CONFIG = "functions/{}/src/config.rs"

CHANGES = [
    (
        "a variable is renamed",
        CONFIG.format("rules"), '"POSTS_QUEUE_URL"', '"HINTS_QUEUE_URL"',
        "functions_have_the_environment_their_code_reads",
    ),
    (
        "one more variable is read",
        CONFIG.format("sweeper"), 'required("STATUSES_TABLE")?', 'required("STATUSES_TABLE").or(required("RULES_TABLE"))?',
        "functions_have_the_environment_their_code_reads",
    ),
    (
        "a post may take as long as the lease",
        "functions/poster/src/post.rs", "LEASE_MILLIS: i64 = 150_000", "LEASE_MILLIS: i64 = 60_000",
        "timeouts_fit_what_waits_for_them",
    ),
    (
        "one post needs more time",
        "functions/poster/src/post.rs", "TIME_FOR_ONE: SignedDuration = SignedDuration::from_secs(25)",
        "TIME_FOR_ONE: SignedDuration = SignedDuration::from_secs(45)",
        "timeouts_fit_what_waits_for_them",
    ),
    (
        "a sweep stays for longer than a minute",
        "functions/sweeper/src/handler.rs", "STAY: SignedDuration = SignedDuration::from_secs(57)",
        "STAY: SignedDuration = SignedDuration::from_secs(60)",
        "timeouts_fit_what_waits_for_them",
    ),
    (
        "a sweep sends hints until its timeout",
        "functions/sweeper/src/handler.rs", "LONGEST_MILLIS: i64 = 65_000", "LONGEST_MILLIS: i64 = 75_000",
        "timeouts_fit_what_waits_for_them",
    ),
    (
        "intake waits longer for SQS",
        "functions/intake/src/main.rs", "OPERATION_TIMEOUT: Duration = Duration::from_millis(2500)",
        "OPERATION_TIMEOUT: Duration = Duration::from_millis(9000)",
        "timeouts_fit_what_waits_for_them",
    ),
    (
        "a longer event is taken",
        "functions/intake/src/handler.rs", "MAX_MESSAGE_BYTES: usize = 1024 * 1024", "MAX_MESSAGE_BYTES: usize = 2048 * 1024",
        "queues_take_the_longest_message",
    ),
    (
        "the attribute of the expiry is renamed",
        "shared/src/item.rs", 'TTL: &str = "expires_at"', 'TTL: &str = "expires"',
        "tables_are_as_the_code_makes_and_reads_them",
    ),
    (
        "an index is renamed",
        "shared/src/item.rs", 'DUE_INDEX: &str = "due"', 'DUE_INDEX: &str = "due-at"',
        "tables_are_as_the_code_makes_and_reads_them",
    ),
    (
        "the sweeper reads one more attribute",
        "infra/cli/src/store/tables.rs", '["credential", "parked", "context"]', '["credential", "parked", "context", "rev"]',
        "tables_are_as_the_code_makes_and_reads_them",
    ),
    (
        "statuses are kept for less time than an event may be old",
        "shared/src/item.rs", "STATUS_LIFETIME_SECONDS: i64 = 90 *", "STATUS_LIFETIME_SECONDS: i64 = 30 *",
        "parameters_are_described_and_constrained",
    ),
    (
        "a metric is renamed",
        "shared/src/metrics.rs", 'PARKED: &str = "Parked"', 'PARKED: &str = "Waiting"',
        "alarms_are_about_metrics_that_exist",
    ),
    (
        "a metric gets one more dimension",
        "functions/rules/src/handler.rs", "counter!(COLLISIONS)", 'counter!(COLLISIONS, OUTCOME => "collision")',
        "alarms_are_about_metrics_that_exist",
    ),
    (
        "an outcome has another word",
        "functions/intake/src/refusal.rs", '"unauthorized"', '"refused"',
        "alarms_are_about_metrics_that_exist",
    ),
    (
        "the namespace is renamed",
        "shared/src/metrics.rs", 'NAMESPACE: &str = "CommitStatus"', 'NAMESPACE: &str = "CommitStatuses"',
        "the_dashboard_shows_metrics_that_exist",
    ),
]  # fmt: skip


@pytest.fixture
def read_otherwise(monkeypatch):
    """Has one file read as if it were edited."""
    cached = (source.sources, source.environment, source.actions, source.metrics, source.statuses_table)

    def change(path: str, find: str, replace: str) -> None:
        real = source.text
        assert real(path).count(find) == 1, f"{real(path).count(find)} places for it in {path}"
        monkeypatch.setattr(source, "text", lambda name: real(name).replace(find, replace) if name == path else real(name))
        for function in cached:
            function.cache_clear()

    yield change
    monkeypatch.undo()
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize(
    ("path", "find", "replace", "policy"), [change[1:] for change in CHANGES], ids=[change[0] for change in CHANGES]
)
def test_a_change_of_the_code_alone_is_caught(read_otherwise, path, find, replace, policy):
    template = Template(TEMPLATE.read_text())
    policies.ALL[policy](template)
    read_otherwise(path, find, replace)
    with pytest.raises(AssertionError):
        policies.ALL[policy](template)


def test_a_new_call_is_seen(read_otherwise):
    path = "functions/poster/src/adapters/rules_table.rs"
    before = source.actions("functions/poster/src/adapters")
    read_otherwise(path, ".get_item()", ".query()")
    assert source.actions("functions/poster/src/adapters") - before == {"dynamodb:Query"}


def test_a_call_nobody_has_named_an_action_for_is_refused(read_otherwise):
    read_otherwise("functions/poster/src/adapters/rules_table.rs", ".get_item()", ".delete_item()")
    with pytest.raises(AssertionError, match="delete_item"):
        source.actions("functions/poster/src/adapters")
