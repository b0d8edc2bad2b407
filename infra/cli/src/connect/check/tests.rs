use super::*;

/// What `connect dev` printed, as kubectl prints it.
const CLUSTER: &str = "\
apiVersion: v1
kind: List
metadata:
  resourceVersion: ''
items:
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Provider
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: '{}'
    generation: 1
    name: commitstatus
    namespace: flux-system
  spec:
    address: https://x.example/events/dev
    secretRef:
      name: commitstatus
    timeout: 60s
    type: generic-hmac
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Alert
  metadata:
    name: commitstatus
    namespace: flux-system
  spec:
    eventSeverity: info
    eventSources:
    - kind: Kustomization
      name: '*'
      namespace: apps
    - kind: Kustomization
      name: '*'
      namespace: flux-system
    providerRef:
      name: commitstatus
";

/// An Alert of Flux's own, beside it.
const BESIDE: &str = "\
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Provider
  metadata: {name: github, namespace: apps}
  spec: {type: github, address: 'https://github.com/acme/fleet', secretRef: {name: token}}
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Alert
  metadata: {name: github, namespace: apps}
  spec: {providerRef: {name: github}, eventSources: [{kind: Kustomization, name: '*'}]}
";

fn watched(sources: &[(&str, &str, &str)]) -> Watched {
    let mut watched = Watched::new();
    for (namespace, kind, name) in sources {
        let of_namespace = watched.entry((*namespace).to_owned()).or_default();
        of_namespace.insert(((*kind).to_owned(), (*name).to_owned()));
    }
    watched
}

fn source(text: &str) -> Source {
    Source {
        name: "have.yaml".into(),
        text: text.into(),
    }
}

fn report(text: &str, generation: u32, url: Option<&str>) -> Report {
    let watched = watched(&[
        ("apps", "Kustomization", "podinfo"),
        ("flux-system", "Kustomization", "*"),
    ]);
    let needed = Needed {
        cluster: "dev",
        generation,
        function_url: url,
        watched: &watched,
    };
    check(&[source(text)], &needed).unwrap()
}

/// All that is not well, in lines.
fn found(text: &str) -> Vec<String> {
    lines(&report(text, 1, Some("https://x.example/")))
}

fn lines(report: &Report) -> Vec<String> {
    let lines = report
        .findings
        .iter()
        .filter(|finding| finding.level != Level::Ok)
        .map(|finding| format!("{} {finding}", finding.level.as_str()));
    lines.collect()
}

#[test]
fn what_connect_prints_is_well() {
    let report = report(CLUSTER, 1, Some("https://x.example/"));
    let lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{} {finding}", finding.level.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            "ok have.yaml:15:14: Provider flux-system/commitstatus: spec.address: sends to https://x.example/events/dev",
            "ok have.yaml:35:7: Alert flux-system/commitstatus: spec.providerRef: names the Provider, and keeps nothing back",
            "ok have.yaml:28:7: Alert flux-system/commitstatus: spec.eventSources: covers all 2 sources the rules name",
        ]
    );
    assert_eq!(report.namespaces, ["flux-system".to_owned()].into());
    // One document after the other, as `kubectl get -o yaml` of one object each.
    let documents = CLUSTER
        .split_once("items:\n")
        .unwrap()
        .1
        .replace("\n- apiVersion", "\n---\n- apiVersion")
        .replace("- apiVersion", "  apiVersion");
    assert_eq!(found(&documents), [""; 0]);
}

#[test]
fn each_thing_that_keeps_events_back_is_named_with_what_would_be_right() {
    let cases = [
        // What is there, what is there instead, and what is said of it.
        (
            "type: generic-hmac",
            "type: slack",
            "missing have.yaml:19:11: Provider flux-system/commitstatus: spec.type: sends events in a form that is not \
             understood here; expected generic-hmac",
        ),
        (
            "events/dev",
            "events/dev?generation=2",
            "missing have.yaml:15:14: Provider flux-system/commitstatus: spec.address: has key generation 2, whose \
             events are refused or dropped, for the cluster's is 1; expected https://x.example/events/dev, and the new \
             key",
        ),
        (
            "events/dev",
            "events/dev?token=s3cr3t",
            "missing have.yaml:15:14: Provider flux-system/commitstatus: spec.address: has a query that is not \
             understood here, so its events are refused; expected https://x.example/events/dev",
        ),
        (
            "https://x.example/events/dev",
            "https://s3cr3t@y.example/events/dev",
            "missing have.yaml:15:14: Provider flux-system/commitstatus: spec.address: sends the events to another host \
             than this stack's; expected https://x.example/events/dev",
        ),
        (
            "    secretRef:\n      name: commitstatus\n    timeout",
            "    timeout",
            "missing have.yaml:15:5: Provider flux-system/commitstatus: spec.secretRef.name: absent, so events are not \
             signed and refused; expected a Secret such as commitstatus",
        ),
        (
            "    timeout: 60s\n",
            "    timeout: 60s\n    suspend: true\n",
            "missing have.yaml:19:14: Provider flux-system/commitstatus: spec.suspend: true, so nothing is sent; `flux \
             resume alert-provider commitstatus -n flux-system` makes it false",
        ),
        (
            "    timeout: 60s\n",
            "",
            "warning have.yaml:15:5: Provider flux-system/commitstatus: spec.timeout: expected 60s, or Flux gives up \
             before its last retry and the event is lost",
        ),
        (
            "timeout: 60s",
            "timeout: 20s",
            "warning have.yaml:18:14: Provider flux-system/commitstatus: spec.timeout: expected 60s, or Flux gives up \
             before its last retry and the event is lost",
        ),
        (
            "    type: generic-hmac\n",
            "    type: generic-hmac\n  status:\n    conditions: [{type: Ready, status: 'False', message: s3cr3t}]\n",
            "warning have.yaml:21:17: Provider flux-system/commitstatus: status.conditions: not ready; `kubectl -n \
             flux-system describe provider.notification.toolkit.fluxcd.io commitstatus` says why",
        ),
        (
            "eventSeverity: info",
            "eventSeverity: error",
            "missing have.yaml:26:20: Alert flux-system/commitstatus: spec.eventSeverity: `error`, so neither progress \
             nor the success that clears a failure is sent; expected info (rules have an eventSeverity of their own)",
        ),
        (
            "    eventSeverity: info\n",
            "    suspend: true\n",
            "missing have.yaml:26:14: Alert flux-system/commitstatus: spec.suspend: true, so nothing is sent; `flux \
             resume alert commitstatus -n flux-system` makes it false",
        ),
        (
            "    eventSeverity: info\n",
            "    inclusionList: ['x']\n",
            "warning have.yaml:26:20: Alert flux-system/commitstatus: spec.inclusionList: keeps back events by their \
             message; remove it (rules have an inclusionList of their own)",
        ),
        (
            "    eventSeverity: info\n",
            "    exclusionList: ['x']\n",
            "warning have.yaml:26:20: Alert flux-system/commitstatus: spec.exclusionList: keeps back events by their \
             message; remove it (rules have an exclusionList of their own)",
        ),
        (
            "      namespace: apps\n",
            "      namespace: apps\n      matchLabels: {team: web}\n",
            "warning have.yaml:31:20: Alert flux-system/commitstatus: spec.eventSources[0].matchLabels: sends only what \
             has these labels, and the rules need Kustomization apps/podinfo; remove it",
        ),
        (
            "      namespace: apps\n",
            "      namespace: web\n",
            "missing have.yaml:28:7: Alert flux-system/commitstatus: spec.eventSources: the rules need Kustomization \
             apps/podinfo; expected `{kind: Kustomization, name: \"podinfo\", namespace: apps}` among them",
        ),
        (
            "      name: '*'\n      namespace: flux-system\n",
            "      name: webapp\n      namespace: flux-system\n",
            "missing have.yaml:28:7: Alert flux-system/commitstatus: spec.eventSources: the rules need every \
             Kustomization of flux-system; expected `{kind: Kustomization, name: \"*\", namespace: flux-system}` among \
             them",
        ),
        (
            "    providerRef:\n      name: commitstatus\n",
            "    providerRef:\n      name: slack\n",
            "missing have.yaml:6:3: Provider flux-system/commitstatus: no Alert of its namespace names it in \
             spec.providerRef, so nothing is sent",
        ),
    ];
    for (there, instead, expected) in cases {
        assert!(CLUSTER.contains(there), "{there}");
        let found = found(&CLUSTER.replacen(there, instead, 1));
        assert_eq!(found, [expected], "{instead}");
        assert!(!found[0].contains("s3cr3t"), "{found:?}");
    }
}

#[test]
fn what_covers_a_source_may_be_spelt_in_other_ways() {
    for (there, instead) in [
        (
            "      name: '*'\n      namespace: apps\n",
            "      name: podinfo\n      namespace: apps\n",
        ),
        // The Alert's own is meant.
        ("      namespace: flux-system\n    providerRef", "    providerRef"),
        (
            "      namespace: apps\n",
            "      namespace: apps\n      matchLabels: {}\n",
        ),
        ("type: generic-hmac", "type: generic"),
        ("timeout: 60s", "timeout: 1m0s"),
        ("https://x.example/events", "https://X.example/events"),
        ("    eventSeverity: info\n", "    inclusionList: []\n"),
        ("events/dev", "events/dev?generation=1"),
        (
            "notification.toolkit.fluxcd.io/v1beta3",
            "notification.toolkit.fluxcd.io/v1beta2",
        ),
    ] {
        assert!(CLUSTER.contains(there), "{there}");
        assert_eq!(found(&CLUSTER.replacen(there, instead, 1)), [""; 0], "{instead}");
    }
}

#[test]
fn without_a_provider_the_nearest_are_named() {
    let none = CLUSTER.replace("events/dev", "events/prod");
    assert_eq!(
        found(&none),
        [
            "missing no Provider sends to https://x.example/events/dev; expected one of type generic-hmac with that \
             address",
            "warning have.yaml:15:14: Provider flux-system/commitstatus: spec.address: sends as cluster \"prod\"; if it \
             is meant to send here, expected https://x.example/events/dev",
        ]
    );
    let in_secret = CLUSTER.replace("    address: https://x.example/events/dev\n", "");
    let found_in_secret = found(&in_secret);
    assert!(
        found_in_secret[1].contains("that of its secret counts"),
        "{found_in_secret:?}"
    );
    // Nothing of an address that is not one of this service is repeated, and other groups have Providers too.
    let webhook = CLUSTER.replace("x.example/events/dev", "hooks.example/s3cr3t");
    assert_eq!(found(&webhook).len(), 1, "{:?}", found(&webhook));
    let crossplane = CLUSTER.replace("notification.toolkit.fluxcd.io", "pkg.crossplane.io");
    assert_eq!(found(&crossplane).len(), 1);
    assert_eq!(found("apiVersion: v1\nkind: List\nitems: []\n").len(), 1);
}

#[test]
fn an_alert_that_posts_itself_is_named_until_it_is_suspended() {
    let both = format!("{CLUSTER}{BESIDE}");
    let line = "warning have.yaml:43:23: Alert apps/github: spec.providerRef: posts to github beside this service, under \
                contexts of its own; delete the Alert, or keep both knowingly";
    assert_eq!(found(&both), [line]);
    for (there, instead) in [
        (
            "{providerRef: {name: github}",
            "{suspend: true, providerRef: {name: github}",
        ),
        ("{type: github", "{suspend: true, type: github"),
        ("{type: github", "{type: slack"),
    ] {
        assert_eq!(found(&both.replace(there, instead)), [""; 0], "{instead}");
    }
}

#[test]
fn a_suspended_alert_covers_nothing_where_another_sends() {
    let (_, alert) = CLUSTER.split_once("    type: generic-hmac\n").unwrap();
    let second = alert
        .replace(
            "    name: commitstatus\n    namespace: flux-system\n  spec",
            "    name: second\n    namespace: flux-system\n  spec",
        )
        .replace("eventSeverity: info", "suspend: true");
    let narrow = CLUSTER.replace("      namespace: apps\n", "      namespace: web\n");
    let found = found(&format!("{narrow}{second}"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("Alert flux-system/second: spec.suspend"),
        "{found:?}"
    );
    assert!(
        found[1].contains("the rules need Kustomization apps/podinfo"),
        "{found:?}"
    );
}

#[test]
fn without_a_function_url_the_path_counts() {
    assert_eq!(lines(&report(CLUSTER, 1, None)), [""; 0]);
    let raised = lines(&report(CLUSTER, 2, None));
    assert_eq!(raised.len(), 1);
    assert!(
        raised[0].contains("expected …/events/dev?generation=2"),
        "{raised:?}"
    );
    // Of two stacks' Providers the other's is in nobody's way.
    let other = CLUSTER
        .split_once("items:\n")
        .unwrap()
        .1
        .replace("x.example", "y.example");
    let (provider, _) = other
        .split_once("- apiVersion: notification.toolkit.fluxcd.io/v1beta3\n  kind: Alert")
        .unwrap();
    let provider = provider.replace(
        "    name: commitstatus\n    namespace",
        "    name: other\n    namespace",
    );
    assert_eq!(found(&format!("{CLUSTER}{provider}")), [""; 0]);
}

#[test]
fn rules_that_name_nothing_are_said() {
    let watched = Watched::new();
    let needed = Needed {
        cluster: "dev",
        generation: 1,
        function_url: None,
        watched: &watched,
    };
    let report = check(&[source(CLUSTER)], &needed).unwrap();
    assert_eq!(
        lines(&report),
        [
            "warning no rule is in force in this cluster, so no event becomes a status; `commitstatus apply -f FILE \
          --cluster dev` applies one"
        ]
    );
}

#[test]
fn what_kubectl_did_not_print_is_refused_or_passed_over() {
    let watched = Watched::new();
    let needed = Needed {
        cluster: "dev",
        generation: 1,
        function_url: None,
        watched: &watched,
    };
    let error = |text: &str| check(&[source(text)], &needed).unwrap_err().to_string();
    assert_eq!(
        error(""),
        format!("nothing in have.yaml; expected what `{KUBECTL}` prints")
    );
    let broken = error("kind: [a\n");
    assert!(
        broken.starts_with("have.yaml:1:7: not readable as YAML"),
        "{broken}"
    );
    assert!(
        broken.ends_with(&format!("expected what `{KUBECTL}` prints")),
        "{broken}"
    );
    // Wrong types, and names that would not be copied safely.
    for text in [
        "text",
        "- 1\n- 2",
        "items: 1",
        "kind: Provider",
        "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\nmetadata: 1\nspec: 1",
        "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Alert\nmetadata: {name: '$(rm)', namespace: a}\nspec: \
         {suspend: true}",
    ] {
        let report = check(&[source(text)], &needed).unwrap();
        assert_eq!(lines(&report).len(), 1, "{text}");
    }
}

#[test]
fn a_finding_is_one_line() {
    let odd = CLUSTER.replace("eventSeverity: info", "eventSeverity: \"a\\nb\\e[31m\"");
    let found = found(&odd);
    assert!(!found[0].contains(char::is_control), "{found:?}");
}
