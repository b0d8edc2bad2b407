use super::*;
use shared::kinds::EventSeverity;

/// The example of the RFC, unchanged.
pub(crate) const RFC_EXAMPLE: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta1
kind: CommitStatus
metadata:
  name: webapp
  namespace: flux-system
spec:
  providerRef:
    name: github # The `spec.type` of the provider has to be github, gitlab, or bitbucket
  eventSeverity: info
  eventSources:
    - kind: Kustomization
      name: webapp
  prefix: dev
";

const PROVIDER: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata:
  name: github
  namespace: flux-system
spec:
  type: github
  address: https://github.com/acme/fleet
  secretRef:
    name: github-token
";

fn source(text: &str) -> Source {
    Source {
        name: "a.yaml".into(),
        text: text.into(),
    }
}

fn valid(text: &str) -> Validated {
    validate(&[source(text)], None).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn notes(text: &str) -> Vec<String> {
    valid(text).notes.iter().map(Finding::to_string).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = validate(&[source(text)], None).expect_err(text).mistakes;
    mistakes.iter().map(Finding::to_string).collect()
}

/// A rule with this `spec` in place of the example's.
fn rule(spec: &str) -> String {
    let (head, _) = RFC_EXAMPLE.split_once("  providerRef").unwrap();
    let indented: Vec<String> = spec
        .trim_matches('\n')
        .lines()
        .map(|line| format!("  {line}"))
        .collect();
    format!("{head}{}\n", indented.join("\n"))
}

const RULE: &str = "providerRef: {name: github}\neventSources: [{kind: Kustomization, name: '*'}]\n";

fn rule_with(fields: &str) -> String {
    rule(&format!("{RULE}{fields}"))
}

fn provider_with(fields: &str) -> String {
    format!("{PROVIDER}  {fields}\n")
}

#[test]
fn the_example_of_the_rfc_applies_unchanged() {
    let validated = valid(RFC_EXAMPLE);

    assert_eq!(validated.notes, []);
    let [document] = validated.documents.as_slice() else {
        panic!("{validated:?}");
    };
    assert_eq!(document.position.to_string(), "a.yaml:1:1");
    let Object::CommitStatus(rule) = &document.object else {
        panic!("{document:?}");
    };
    assert_eq!(rule.metadata.object_name().to_string(), "flux-system/webapp");
    assert_eq!(rule.spec.provider_ref.name, "github");
    assert_eq!(rule.spec.event_severity, EventSeverity::Info);
    assert_eq!(rule.spec.event_sources.len(), 1);
    assert_eq!(rule.spec.prefix.as_deref(), Some("dev"));
    assert!(rule.spec.report_progress);
    assert!(!rule.spec.trust_commit_annotation);
}

#[test]
fn a_provider_applies_in_every_version_of_flux() {
    for version in ["v1beta1", "v1beta2", "v1beta3"] {
        let text = PROVIDER.replace("v1beta3", version);
        let validated = valid(&text);
        let Object::Provider(provider) = &validated.documents[0].object else {
            panic!("{validated:?}");
        };
        assert_eq!(provider.spec.kind, "github");
        assert_eq!(provider.spec.timeout_seconds, None);
    }
    let validated = valid(&provider_with("timeout: 1m"));
    let Object::Provider(provider) = &validated.documents[0].object else {
        panic!("{validated:?}");
    };
    assert_eq!(provider.spec.timeout_seconds, Some(60));
}

// Found by fuzzing.
#[test]
fn a_finding_is_one_line_whatever_a_key_is_called() {
    assert_eq!(
        mistakes(&rule_with(r#""a\nb\e[31m\x9b": 1"#)),
        [concat!(
            r"a.yaml:9:3: spec.a\nb\u{1b}[31m\u{9b}: unknown field; expected one of providerRef, eventSeverity, ",
            "trustCommitAnnotation, eventSources, prefix, inclusionList, exclusionList, suspend, summary, ",
            "eventMetadata, reportProgress, onSuperseded, targetUrl, description"
        )]
    );
}

#[test]
fn every_mistake_of_a_call_is_reported_at_its_place() {
    let text = "\
apiVersion: notification.toolkit.fluxcd.io/v1
kind: CommitStatus
metadata:
  name: Web_App
  lables: {}
spec:
  providerRef: github
  eventSeverity: warn
  eventSources:
    - knd: Kustomization
      name: web*
    - kind: HelmRelease
      name: webapp
      matchLabels: {app: web}
  prefix: dev/
  inclusionList: ['ok', 'a(b']
  suspend: 'yes'
---
kind: Deployment
apiVersion: apps/v1
---
kind: CommitStatus
";
    insta::assert_snapshot!(mistakes(text).join("\n"), @r"
    a.yaml:1:13: apiVersion: no version of CommitStatus; expected notification.toolkit.fluxcd.io/v1beta1
    a.yaml:4:9: metadata.name: `Web_App` is not a DNS-1123 subdomain: lower-case letters, digits, `-` and `.`, at most 253 characters, each part beginning and ending with a letter or digit
    a.yaml:5:3: metadata.lables: unknown field; did you mean `labels`? expected one of name, namespace, uid, labels
    a.yaml:7:16: spec.providerRef: expected a mapping, found a string
    a.yaml:8:18: spec.eventSeverity: no severity; expected one of info, error
    a.yaml:10:7: spec.eventSources[0].kind: missing; it is required
    a.yaml:10:7: spec.eventSources[0].knd: unknown field; did you mean `kind`? expected one of kind, name, namespace
    a.yaml:11:13: spec.eventSources[0].name: `web*` is a pattern; expected a name, or `*` alone for any
    a.yaml:12:13: spec.eventSources[1].kind: the revision in events of a HelmRelease is not a commit; expected Kustomization, or set spec.trustCommitAnnotation to true and the annotation event.toolkit.fluxcd.io/commit on the object
    a.yaml:14:7: spec.eventSources[1].matchLabels: not supported: events carry no labels; filter in the cluster's Alert
    a.yaml:15:11: spec.prefix: begins or ends with a slash; the one before kind and name is added
    a.yaml:16:25: spec.inclusionList[1]: no regular expression: unclosed group, at character 2 of the pattern
    a.yaml:17:12: spec.suspend: expected true or false, found a string
    a.yaml:19:7: kind: no kind of this service; expected one of CommitStatus, Provider
    a.yaml:22:1: apiVersion: missing; it is required
    a.yaml:22:1: metadata: missing; it is required
    a.yaml:22:1: spec: missing; it is required
    ");
}

#[test]
fn each_impossible_value_of_a_rule_says_what_was_expected() {
    let cases = [
        (
            "eventSeverity: Error",
            "a.yaml:9:18: spec.eventSeverity: no severity; did you mean `error`? expected one of info, error",
        ),
        (
            "onSuperseded: closed",
            "a.yaml:9:17: spec.onSuperseded: no way to treat a pending status; did you mean `close`? expected one of close, \
             leave",
        ),
        (
            "reportProgress: 1",
            "a.yaml:9:19: spec.reportProgress: expected true or false, found the number 1",
        ),
        (
            "prefix: 1.10",
            "a.yaml:9:11: spec.prefix: expected a string, found the number 1.1; put it in quotes",
        ),
        (
            "prefix: /dev",
            "a.yaml:9:11: spec.prefix: begins or ends with a slash; the one before kind and name is added",
        ),
        (
            "prefix: \"a\\nb\"",
            "a.yaml:9:11: spec.prefix: holds a control character; expected plain text",
        ),
        (
            "exclusionList: ok",
            "a.yaml:9:18: spec.exclusionList: expected a list, found a string",
        ),
        (
            "exclusionList: [1]",
            "a.yaml:9:19: spec.exclusionList[0]: expected a string, found the number 1; put it in quotes",
        ),
        (
            "exclusionList:\n- ok\n- 'a(?=b)'",
            "a.yaml:11:5: spec.exclusionList[1]: no regular expression: look-around, including look-ahead and \
             look-behind, is not supported, at character 2 of the pattern",
        ),
        (
            "eventMetadata: {team: 1}",
            "a.yaml:9:25: spec.eventMetadata.team: expected a string, found the number 1; put it in quotes",
        ),
        (
            "eventMetadata:\n  kustomize.toolkit.fluxcd.io/revision: main",
            "a.yaml:10:5: spec.eventMetadata.kustomize.toolkit.fluxcd.io/revision: a rule never names the commit; it \
             comes from the event. Remove `revision`",
        ),
        (
            "suspended: true",
            "a.yaml:9:3: spec.suspended: unknown field; did you mean `suspend`? expected one of \
          providerRef, eventSeverity, trustCommitAnnotation, eventSources, prefix, inclusionList, exclusionList, \
          suspend, summary, eventMetadata, reportProgress, onSuperseded, targetUrl, description",
        ),
        (
            "suspend: true\nsuspend: false",
            "a.yaml:10:3: spec.suspend: given twice; first in line 9, column 3",
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(mistakes(&rule_with(fields)), [expected], "{fields}");
    }
    let long = format!("summary: {}", "x".repeat(256));
    assert_eq!(
        mistakes(&rule_with(&long)),
        ["a.yaml:9:12: spec.summary: 256 characters; expected at most 255"]
    );
    let long = format!("prefix: {}", "é".repeat(201));
    assert_eq!(
        mistakes(&rule_with(&long)),
        ["a.yaml:9:11: spec.prefix: 201 characters; expected at most 200"]
    );
}

#[test]
fn each_impossible_event_source_says_what_was_expected() {
    let cases = [
        (
            "eventSources: []",
            "a.yaml:8:17: spec.eventSources: empty; expected at least one object whose events count",
        ),
        ("", "a.yaml:7:3: spec.eventSources: missing; it is required"),
        (
            "eventSources:\n- {kind: kustomisation, name: a}",
            "a.yaml:9:12: spec.eventSources[0].kind: no kind of Flux; did you mean `Kustomization`? expected one of \
             Kustomization, ArtifactGenerator, Bucket, ExternalArtifact, GitRepository, HelmChart, HelmRelease, \
             HelmRepository, ImagePolicy, ImageRepository, ImageUpdateAutomation, OCIRepository",
        ),
        (
            "eventSources:\n- {kind: HelmRelease, name: a}",
            "a.yaml:9:12: spec.eventSources[0].kind: the revision in events of a HelmRelease is not a commit; \
             expected Kustomization, or set spec.trustCommitAnnotation to true and the annotation \
             event.toolkit.fluxcd.io/commit on the object",
        ),
        (
            "eventSources:\n- {kind: Kustomization, name: 'web-*'}",
            "a.yaml:9:33: spec.eventSources[0].name: `web-*` is a pattern; expected a name, or `*` alone for any",
        ),
        (
            "eventSources:\n- kind: Kustomization\n  name: a\n  matchLabels: {a: b}",
            "a.yaml:11:5: spec.eventSources[0].matchLabels: not supported: events carry no labels; filter in the \
             cluster's Alert",
        ),
        (
            "eventSources:\n- {kind: Kustomization, name: a, namespace: '*'}",
            "a.yaml:9:47: spec.eventSources[0].namespace: there is no wildcard for namespaces, as in Flux; list each \
             namespace as a source of its own",
        ),
    ];
    for (sources, expected) in cases {
        let text = rule(&format!("providerRef: {{name: github}}\n{sources}"));
        assert_eq!(mistakes(&text), [expected], "{sources}");
    }
}

#[test]
fn p12_an_address_never_holds_a_credential() {
    let expected = "a.yaml:8:12: spec.address: holds a credential, which everybody may read here; leave it out of the \
                    address and put it into the secret of `secretRef` with `commitstatus secret set`";
    let with = |address: &str| PROVIDER.replacen("https://github.com/acme/fleet", address, 1);
    for address in [
        "https://ghp_token@github.com/acme/fleet",
        "https://user:password@github.com/acme/fleet",
        "ssh://git:password@github.com/acme/fleet",
        "user:password@github.com/acme/fleet",
    ] {
        assert_eq!(mistakes(&with(address)), [expected], "{address}");
    }
    for address in [
        "git@github.com:acme/fleet.git",
        "ssh://git@github.com/acme/fleet",
        "https://github.com/acme/fleet",
    ] {
        validate(&[source(&with(address))], None).unwrap();
    }
}

#[test]
fn each_impossible_value_of_a_provider_says_what_was_expected() {
    let cases = [
        (
            "type: github",
            "type: slack",
            "a.yaml:7:9: spec.type: no Git host of this service; expected one of github, gitlab, bitbucket, \
             bitbucketserver, gitea, azuredevops",
        ),
        (
            "type: github",
            "type: githb",
            "a.yaml:7:9: spec.type: no Git host of this service; did you mean `github`? expected one of github, \
             gitlab, bitbucket, bitbucketserver, gitea, azuredevops",
        ),
        (
            "https://github.com/acme/fleet",
            "https://github.com/acme",
            "a.yaml:8:12: spec.address: invalid repository id `acme`; expected https://github.com/OWNER/REPOSITORY",
        ),
        (
            "    name: github-token",
            "    nam: github-token",
            "a.yaml:10:5: spec.secretRef.name: missing; it is required",
        ),
        (
            "  name: github\n",
            "  name: -github\n",
            "a.yaml:4:9: metadata.name: `-github` is not a DNS-1123 subdomain: \
          lower-case letters, digits, `-` and `.`, at most 253 characters, each part beginning and ending with a \
          letter or digit",
        ),
    ];
    for (from, to, expected) in cases {
        let text = PROVIDER.replacen(from, to, 1);
        assert_eq!(mistakes(&text)[0], expected, "{to}");
    }
    let expected = "expected a duration in whole seconds from 1s to 60s, such as 30s or 1m";
    for timeout in ["61s", "0s", "500ms", "soon"] {
        assert_eq!(
            mistakes(&provider_with(&format!("timeout: {timeout}"))),
            [format!("a.yaml:11:12: spec.timeout: {expected}")]
        );
    }
    let cases = [
        (
            "certSecretRef: {nam: a}",
            "a.yaml:11:18: spec.certSecretRef.name: missing; it is required",
        ),
        (
            "proxySecretRef: a",
            "a.yaml:11:19: spec.proxySecretRef: expected a mapping, found a string",
        ),
        (
            "proxy: http://u:p@proxy",
            "a.yaml:11:3: spec.proxy: deprecated in Flux, and not supported: it may hold a password. Put the address \
             into the key `address` of a secret with `commitstatus secret set`, and name the secret in \
             `proxySecretRef`",
        ),
        (
            "username: 'a:b'",
            "a.yaml:11:13: spec.username: no user name; expected text without `:`",
        ),
        ("insecure: 'yes'", "a.yaml:11:13: spec.insecure: expected"),
        (
            "commitStatusExpr: \"event.involvedObject.kind + '/' + evnt.metadata.env\"",
            "a.yaml:11:21: spec.commitStatusExpr: no expression for a context: column 35: undeclared variable `evnt`; \
             did you mean `event`?",
        ),
    ];
    for (field, expected) in cases {
        let found = mistakes(&provider_with(field)).remove(0);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn each_host_takes_the_addresses_it_gives_out() {
    let provider = |kind: &str, address: &str| {
        PROVIDER
            .replacen("type: github", &format!("type: {kind}"), 1)
            .replacen("https://github.com/acme/fleet", address, 1)
    };
    for (kind, address) in [
        ("gitlab", "https://gitlab.com/acme/apps/fleet"),
        ("bitbucket", "https://bitbucket.org/acme/fleet.git"),
        ("bitbucketserver", "https://git.acme.com/scm/ops/fleet.git"),
        ("bitbucket", "https://jane@bitbucket.org/acme/fleet.git"),
        ("gitea", "https://codeberg.org/acme/fleet"),
        ("azuredevops", "https://acme@dev.azure.com/acme/web/_git/fleet"),
        ("azuredevops", "git@ssh.dev.azure.com:v3/acme/web/fleet"),
    ] {
        validate(&[source(&provider(kind, address))], None).unwrap_or_else(|error| panic!("{error}"));
    }
    let http = provider("gitea", "http://gitea.local:3000/acme/fleet");
    assert!(mistakes(&http)[0].contains("would send the credential unprotected"));
    validate(&[source(&format!("{http}  insecure: true\n"))], None).unwrap();
    // Whoever else stands there may be a token.
    for (kind, address) in [
        ("azuredevops", "https://s3cr3t@dev.azure.com/acme/web/_git/fleet"),
        (
            "bitbucket",
            "https://ATCTT3xFfGN0s3cr3t@bitbucket.org/acme/fleet.git",
        ),
        ("bitbucket", "https://jane:s3cr3t@bitbucket.org/acme/fleet.git"),
    ] {
        assert!(
            mistakes(&provider(kind, address))[0].contains("holds a credential"),
            "{address}"
        );
    }
}

#[test]
fn a_link_and_a_description_may_depend_on_the_event() {
    for fields in [
        "targetUrl: https://grafana.acme.com/d/flux?var-cluster=${cluster}",
        "targetUrl: ${event.metadata.dashboard}",
        "description: '${event.reason} in ${cluster}'",
        "description: applied by Flux",
    ] {
        validate(&[source(&rule_with(fields))], None).unwrap_or_else(|error| panic!("{error}"));
    }
    let cases = [
        (
            "targetUrl: https://${clustr}",
            "a.yaml:9:14: spec.targetUrl: column 11: undeclared variable `clustr`; did you mean `cluster`?",
        ),
        (
            "targetUrl: ftp://acme.com/${cluster}",
            "a.yaml:9:14: spec.targetUrl: no address a click can lead to; expected https://HOST/PATH, with `${…}` where \
             it depends on the event",
        ),
        (
            "targetUrl: acme.com",
            "a.yaml:9:14: spec.targetUrl: no address a click can lead to; expected https://HOST/PATH, with `${…}` where \
             it depends on the event",
        ),
        (
            "description: 'x ${event.reason'",
            "a.yaml:9:16: spec.description: column 3:",
        ),
        (
            "description: ' '",
            "a.yaml:9:16: spec.description: empty; leave it out for Flux's reason in words",
        ),
    ];
    for (fields, expected) in cases {
        let found = mistakes(&rule_with(fields)).remove(0);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn other_kinds_are_refused_by_naming_the_two() {
    let cases = [
        (
            "Alert",
            "a.yaml:2:7: kind: an Alert stays in the cluster (`commitstatus connect` prints the one it needs); \
             expected one of CommitStatus, Provider",
        ),
        (
            "Deployment",
            "a.yaml:2:7: kind: no kind of this service; expected one of CommitStatus, Provider",
        ),
        (
            "Commitstatus",
            "a.yaml:2:7: kind: no kind of this service; did you mean `CommitStatus`? expected one of CommitStatus, \
             Provider",
        ),
    ];
    for (kind, expected) in cases {
        assert_eq!(
            mistakes(&RFC_EXAMPLE.replacen("CommitStatus", kind, 1)),
            [expected]
        );
    }
    assert_eq!(
        mistakes(&PROVIDER.replace("v1beta3", "v1")),
        [
            "a.yaml:1:13: apiVersion: no version of Provider; expected one of notification.toolkit.fluxcd.io/v1beta3, \
          notification.toolkit.fluxcd.io/v1beta2, notification.toolkit.fluxcd.io/v1beta1"
        ]
    );
}

#[test]
fn text_that_is_no_yaml_is_refused_with_its_place() {
    let cases = [
        (
            "kind: [a\n",
            "a.yaml:1:7: not readable as YAML: unclosed bracket '['",
        ),
        (
            "kind: a: b\n",
            "a.yaml:1:8: not readable as YAML: mapping values are not allowed in this context",
        ),
        ("- a\n", "a.yaml:1:1: expected a mapping, found a list"),
        (
            "? [a]\n: b\n",
            "a.yaml:1:1: not readable as YAML: a key must be a string",
        ),
        ("just text\n", "a.yaml:1:1: expected a mapping, found a string"),
    ];
    for (text, expected) in cases {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
    let recovers = format!("? [a]\n: b\n---\n{}", PROVIDER.replace("type: github", "type: a"));
    assert_eq!(mistakes(&recovers).len(), 2, "{recovers}");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
    }
    let found = mistakes(&text);
    assert!(found[0].contains("not readable as YAML"), "{found:?}");
}

#[test]
fn anchors_stand_where_they_are_used() {
    let text = rule("providerRef: &ref {name: github, x: 1}\neventSources: [*ref]");
    insta::assert_snapshot!(mistakes(&text).join("\n"), @r"
    a.yaml:7:36: spec.providerRef.x: unknown field; expected one of name
    a.yaml:8:18: spec.eventSources[0].kind: missing; it is required
    a.yaml:8:18: spec.eventSources[0].x: unknown field; expected one of kind, name, namespace
    ");
}

#[test]
fn a_field_with_nothing_after_it_is_absent_as_for_kubectl() {
    let validated = valid(&rule_with(
        "inclusionList:\nexclusionList: ~\nprefix:\neventMetadata:\nsuspend:\n",
    ));
    let plain = valid(&rule_with(""));
    assert_eq!(validated.documents, plain.documents);

    let missing = mistakes(&rule("providerRef:\neventSources:"));
    assert_eq!(
        missing,
        [
            "a.yaml:7:3: spec.providerRef: missing; it is required",
            "a.yaml:7:3: spec.eventSources: missing; it is required"
        ]
    );
}

#[test]
fn an_empty_prefix_is_not_an_absent_one() {
    let prefix = |fields: &str| match &valid(&rule_with(fields)).documents[0].object {
        Object::CommitStatus(rule) => rule.spec.prefix.clone(),
        Object::Provider(_) => panic!("a rule was given"),
    };
    assert_eq!(prefix("prefix: ''"), Some(String::new()));
    assert_eq!(prefix(""), None);
}

#[test]
fn other_kinds_are_sources_where_the_annotation_is_trusted() {
    let text = rule(
        "trustCommitAnnotation: true\nproviderRef: {name: github}\neventSources: [{kind: HelmRelease, name: a}]",
    );
    assert_eq!(valid(&text).documents.len(), 1);
}

#[test]
fn what_a_cluster_adds_is_ignored_with_one_note() {
    let text = "\
apiVersion: v1
kind: List
metadata:
  resourceVersion: ''
items:
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Provider
  metadata:
    annotations: {a: b}
    creationTimestamp: 2026-08-07T13:12:44Z
    finalizers: []
    generation: 1
    labels: {team: web}
    name: github
    namespace: flux-system
    resourceVersion: '12'
    uid: 0c9c2e41-1
  spec:
    type: github
    address: https://github.com/acme/fleet
    secretRef: {name: github-token}
    interval: 10m
    channel: general
    username: bot
    serviceAccountName: sa
  status:
    observedGeneration: 1
";
    insta::assert_snapshot!(notes(text).join("\n"), @r"
    a.yaml:10:5: items[0]: ignored, as the cluster writes it: metadata.creationTimestamp, metadata.finalizers, metadata.generation, metadata.resourceVersion, status
    a.yaml:22:5: items[0].spec.interval: ignored: nothing is polled; a status is posted when it changes. Remove it
    a.yaml:23:5: items[0].spec.channel: ignored: a commit status has no channel; remove it
    a.yaml:24:15: items[0].spec.username: ignored: only bitbucketserver uses it; what the others need goes into the secret with `commitstatus secret set`
    a.yaml:25:5: items[0].spec.serviceAccountName: ignored: there is no workload identity here; put the credential into the secret with `commitstatus secret set`
    ");
    let metadata = valid(text).documents[0].object.metadata().clone();
    assert_eq!(metadata.uid.as_deref(), Some("0c9c2e41-1"));
    assert_eq!(metadata.labels["team"], "web");
}

#[test]
fn mistakes_in_a_list_name_the_item() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- kind: Provider\n  apiVersion: x\n- kind: Alert\n  apiVersion: x\n";
    insta::assert_snapshot!(mistakes(text).join("\n"), @r"
    a.yaml:4:3: items[0].metadata: missing; it is required
    a.yaml:4:3: items[0].spec: missing; it is required
    a.yaml:5:15: items[0].apiVersion: no version of Provider; expected one of notification.toolkit.fluxcd.io/v1beta3, notification.toolkit.fluxcd.io/v1beta2, notification.toolkit.fluxcd.io/v1beta1
    a.yaml:6:9: items[1].kind: an Alert stays in the cluster (`commitstatus connect` prints the one it needs); expected one of CommitStatus, Provider
    ");
}

#[test]
fn an_object_given_twice_names_both_places() {
    let sources = [
        source(PROVIDER),
        Source {
            name: "b.yaml".into(),
            text: format!("{RFC_EXAMPLE}---\n{PROVIDER}"),
        },
    ];
    let found = validate(&sources, None).unwrap_err().mistakes;
    assert_eq!(
        found.iter().map(Finding::to_string).collect::<Vec<_>>(),
        [
            "b.yaml:15:1: metadata.name: Provider flux-system/github is given twice in this call; first at a.yaml:1:1"
        ]
    );
}

#[test]
fn the_namespace_is_the_documents_then_the_calls_then_default() {
    let without = PROVIDER.replace("  namespace: flux-system\n", "");
    let namespace = |text: &str, flag| {
        let validated = validate(&[source(text)], flag).unwrap();
        validated.documents[0].object.metadata().namespace.clone()
    };
    assert_eq!(namespace(PROVIDER, None), "flux-system");
    assert_eq!(namespace(PROVIDER, Some("flux-system")), "flux-system");
    assert_eq!(namespace(&without, Some("apps")), "apps");
    assert_eq!(namespace(&without, None), "default");
    assert_eq!(
        notes(&without),
        ["a.yaml:4:3: metadata.namespace: not given, so `default`; write it here or say --namespace"]
    );
    let found = validate(&[source(PROVIDER)], Some("apps")).unwrap_err();
    assert_eq!(
        found.to_string(),
        "a.yaml:5:14: metadata.namespace: `flux-system`, but the call says `--namespace apps`; leave out one of them"
    );
}

#[test]
fn empty_documents_are_no_objects() {
    assert_eq!(valid("---\n---\n# nothing\n").documents, []);
    assert_eq!(valid(&format!("---\n---\n{PROVIDER}---\n")).documents.len(), 1);
}

#[test]
fn what_is_deleted_need_not_be_valid() {
    let text = "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata: {name: a, namespace: b}\nspec: 1\n";
    let found = identify(&[source(text)], None).unwrap();
    assert_eq!(
        found.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["Provider b/a"]
    );
}
