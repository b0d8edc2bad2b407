//! Upstream's expressions, with upstream's results.

use serde_json::{Value, json};

use crate::{Expression, Variables};

/// Compiles and evaluates, as `newCommitStatus` does for each event.
fn status(text: &str, event: &Value, provider: &Value, alert: &Value) -> Result<String, String> {
    let variables = Variables::new(event.clone(), provider.clone(), alert.clone(), "");
    let expression = Expression::compile(text).map_err(|mistake| mistake.to_string())?;
    expression
        .evaluate(&variables)
        .map_err(|failure| failure.to_string())
}

fn event(metadata: Value) -> Value {
    json!({"involvedObject": {"kind": "Kustomization", "name": "gitops-system"}, "metadata": metadata})
}

fn provider() -> Value {
    json!({"metadata": {"uid": "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a"}})
}

fn alert() -> Value {
    json!({"metadata": {"name": "test-alert"}})
}

// notification-controller internal/server/provider_commit_status_test.go Test_newCommitStatus.
#[test]
fn p18_gives_the_statuses_of_test_new_commit_status() {
    let production = event(json!({"environment": "production"}));
    let cases = [
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
             + provider.metadata.uid + '/' + alert.metadata.name",
            Ok("Kustomization/gitops-system/production/0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a/test-alert"),
        ),
        (
            "(event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
             + provider.metadata.uid + '/' + alert.metadata.name).lowerAscii()",
            Ok("kustomization/gitops-system/production/0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a/test-alert"),
        ),
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + notification.metadata.name",
            Err(
                "column 69: undeclared variable `notification`; expected one of event, provider, alert, cluster",
            ),
        ),
        (
            "kustomization.metadata.name + '/' + provider.metadata.uid",
            Err(
                "column 1: undeclared variable `kustomization`; expected one of event, provider, alert, cluster",
            ),
        ),
    ];
    for (text, result) in cases {
        let expected = result.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(
            status(text, &production, &provider(), &alert()),
            expected,
            "{text}"
        );
    }
}

// notification-controller internal/server/event_handlers_test.go TestCreateCommitStatus; the third case is the default
// status written as an expression.
#[test]
fn p18_gives_the_statuses_of_test_create_commit_status() {
    let production = event(json!({"environment": "production"}));
    let foo = event(json!({"foo": "bar"}));
    let cases = [
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
             + provider.metadata.uid",
            &production,
            provider(),
            Ok("Kustomization/gitops-system/production/0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a"),
        ),
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
             + provider.metadata.uid.split('-').first().value()",
            &production,
            provider(),
            Ok("Kustomization/gitops-system/production/0c9c2e41"),
        ),
        (
            "(event.involvedObject.kind + '/' + event.involvedObject.name + '/' \
             + provider.metadata.uid.split('-')[0]).lowerAscii()",
            &production,
            provider(),
            Ok("kustomization/gitops-system/0c9c2e41"),
        ),
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.environment + '/' \
             + provider.metadata.uid + '/' + alert.metadata.name",
            &production,
            provider(),
            Ok("Kustomization/gitops-system/production/0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a/test-alert"),
        ),
        (
            "event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.notfound + '/' \
             + provider.metadata.uid",
            &foo,
            json!({"metadata": {}}),
            Err("the event has no `event.metadata.notfound`"),
        ),
        (
            "event.involvedObject.kind == 'Kustomization'",
            &foo,
            json!({"metadata": {}}),
            Err("column 1: gives a bool, expected text"),
        ),
    ];
    for (text, event, provider, result) in cases {
        let expected = result.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(status(text, event, &provider, &alert()), expected, "{text}");
    }
}

// notification-controller internal/controller/provider_controller_test.go TestProviderReconciler_APIServerValidation:
// accepted by the API server, which does not evaluate it. Flux's events have no such metadata by themselves.
#[test]
fn p18_compiles_the_expression_of_the_api_servers_test() {
    let text = "event.metadata.namespace + '/' + event.metadata.name + '/' + provider.metadata.uid";
    assert_eq!(
        status(
            text,
            &event(json!({"namespace": "apps", "name": "podinfo"})),
            &provider(),
            &alert()
        ),
        Ok("apps/podinfo/0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a".to_owned())
    );
    assert_eq!(
        status(text, &event(json!({})), &provider(), &alert()),
        Err("the event has no `event.metadata.namespace`".to_owned())
    );
}

// notification-controller docs/spec/v1beta3/providers.md "Custom Commit Status Messages".
#[test]
fn p18_gives_the_status_of_the_example_in_the_documentation() {
    let text = "(event.involvedObject.kind + '/' + event.involvedObject.name + '/' + event.metadata.foo + '/' \
                + provider.metadata.uid.split('-').first().value()).lowerAscii()";
    assert_eq!(
        status(text, &event(json!({"foo": "Bar"})), &provider(), &alert()),
        Ok("kustomization/gitops-system/bar/0c9c2e41".to_owned())
    );
}

// pkg runtime/cel/expression_test.go TestExpression_EvaluateString, with `event` for `foo` and `provider` for `bar`. Some
// of its expressions are not compiled there, and none is asked for its type.
#[test]
fn p18_gives_the_texts_of_test_evaluate_string() {
    let event =
        json!({"bar": "some-value", "baz": "some-other-value", "words": "hello-world-testing-123", "n": 123});
    let provider = json!({"biz": "some-third-value", "uid": "AKS2J23-DAFLSDD-123J5LS"});
    let cases = [
        (
            "foo",
            Err("column 1: undeclared variable `foo`; expected one of event, provider, alert, cluster"),
        ),
        ("event.bar", Ok("some-value")),
        ("event.n", Err("gives an int, expected text")),
        (
            "event.bar + '/' + event.baz + '/' + provider.biz",
            Ok("some-value/some-other-value/some-third-value"),
        ),
        (
            "event.bar + '/' + event.baz + '/' + provider.uid.split('-')[0].lowerAscii()",
            Ok("some-value/some-other-value/aks2j23"),
        ),
        (
            "event.bar + '/' + event.baz + '/' + provider.uid.split('-').first().value().lowerAscii()",
            Ok("some-value/some-other-value/aks2j23"),
        ),
        ("event.words.split('-').first().value()", Ok("hello")),
        ("event.words.split('-').last().value()", Ok("123")),
        (
            "event.words.split('-').first()",
            Err("gives an optional, expected text; add `.value()` or `.orValue('…')`"),
        ),
    ];
    for (text, result) in cases {
        let expected = result.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(status(text, &event, &provider, &json!({})), expected, "{text}");
    }
}

// The same, TestNewExpression, TestExpression_EvaluateBoolean and TestExpression_EvaluateStringSlice, as far as they are
// about expressions and not about the type asked for.
#[test]
fn p18_compiles_as_test_new_expression() {
    let event = json!({"yes": true, "no": false, "items": ["hello", "world", "test", "testing"], "value": "item1,item2"});
    let cases = [
        // "no viable alternative at input '.'" at 1:5 there, of `foo.`
        ("event.", Err("column 7: unexpected end of the expression")),
        // Flux finds by its types that a map is compared to text; it is false here.
        ("event == 'bar' ? 'a' : 'b'", Ok("b")),
        ("event.yes == true ? 'a' : 'b'", Ok("a")),
        ("event.yes && event.yes ? 'a' : 'b'", Ok("a")),
        ("event.yes && event.no ? 'a' : 'b'", Ok("b")),
        (
            "event.items.map(item, item.upperAscii()).join()",
            Ok("HELLOWORLDTESTTESTING"),
        ),
        (
            "event.items.filter(item, item.startsWith('t')).join(' ')",
            Ok("test testing"),
        ),
        ("event.value.split(',').join('|')", Ok("item1|item2")),
        ("['literal1', 'literal2'].join()", Ok("literal1literal2")),
    ];
    for (text, result) in cases {
        let expected = result.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(status(text, &event, &json!({}), &json!({})), expected, "{text}");
    }
}
