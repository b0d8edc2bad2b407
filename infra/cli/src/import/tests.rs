use std::sync::Arc;

use rules::evaluate::evaluate;
use rules::lookup::{Candidate, CompiledProvider, FoundProvider};
use rules::{draft, evaluate::CompiledRule};
use serde_json::json;
use shared::Event;
use shared::kinds::Reference;

use super::*;
use crate::yaml::validate;

/// As `kubectl get provider,alert -A -o yaml` prints them.
const CLUSTER: &str = "\
apiVersion: v1
kind: List
metadata:
  resourceVersion: \"\"
items:
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Provider
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: '{}'
    creationTimestamp: \"2026-08-07T13:12:44Z\"
    generation: 2
    labels:
      team: web
    name: github
    namespace: flux-system
    resourceVersion: \"12\"
    uid: 0C9c2e41-d2f9-4f9b-9c41-bebc1984d67a
  spec:
    type: github
    address: https://github.com/acme/fleet
    secretRef:
      name: github-token
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Provider
  metadata:
    name: slack
    namespace: flux-system
  spec:
    type: slack
    channel: general
    secretRef:
      name: slack-url
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Alert
  metadata:
    name: fleet
    namespace: flux-system
    uid: 3a5e3a4e-1
  spec:
    providerRef:
      name: github
    eventSeverity: info
    eventSources:
    - kind: Kustomization
      name: '*'
    - kind: Kustomization
      name: podinfo
      namespace: apps
    inclusionList:
    - .*finished.*
    exclusionList:
    - ^Dependencies
    eventMetadata:
      env: prod
    summary: of prod
- apiVersion: notification.toolkit.fluxcd.io/v1beta3
  kind: Alert
  metadata:
    name: chat
    namespace: flux-system
  spec:
    providerRef:
      name: slack
    eventSources:
    - kind: Kustomization
      name: '*'
";

const DEV: &str = "dev";

fn sources(text: &str) -> [Source; 1] {
    [Source {
        name: "a.yaml".into(),
        text: text.into(),
    }]
}

fn imports(text: &str, keep_names: bool) -> Result<Imported, Mistakes> {
    let wanted = Wanted {
        namespace: None,
        scope: &Scope::Cluster(DEV.into()),
        keep_names,
    };
    import(&sources(text), &wanted)
}

fn imported(text: &str) -> Imported {
    imports(text, false).unwrap_or_else(|error| panic!("{error}"))
}

fn kept(text: &str) -> Imported {
    imports(text, true).unwrap_or_else(|error| panic!("{error}"))
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = imports(text, false).unwrap_err().mistakes;
    mistakes.iter().map(Finding::to_string).collect()
}

fn notes(text: &str) -> Vec<String> {
    imported(text).notes.iter().map(Finding::to_string).collect()
}

/// A Provider and an Alert in `apps`, each with more of its spec.
fn pair(kind: &str, provider: &str, alert: &str) -> String {
    let address = match kind {
        "gitlab" => "https://gitlab.com/acme/infra/fleet",
        "bitbucket" => "https://bitbucket.org/acme/fleet",
        "bitbucketserver" => "https://git.acme.com/scm/ops/fleet.git",
        "gitea" => "https://codeberg.org/acme/fleet",
        "azuredevops" => "https://dev.azure.com/acme/web/_git/fleet",
        _ => "https://github.com/acme/fleet",
    };
    let spec = |fields: &str| {
        let lines: Vec<String> = fields.lines().map(|line| format!("  {line}\n")).collect();
        lines.concat()
    };
    let address = match provider.contains("address:") {
        true => String::new(),
        false => format!("  address: {address}\n"),
    };
    let secret = match provider.contains("secretRef:") {
        true => String::new(),
        false => "  secretRef: {name: token}\n".to_owned(),
    };
    let sources = match alert.contains("eventSources:") {
        true => String::new(),
        false => "  eventSources: [{kind: Kustomization, name: '*'}]\n".to_owned(),
    };
    format!(
        "apiVersion: notification.toolkit.fluxcd.io/v1beta3\nkind: Provider\n\
         metadata: {{name: git, namespace: apps, uid: 0c9c2e41-d2f9}}\nspec:\n  type: {kind}\n{address}{secret}{}---\n\
         apiVersion: notification.toolkit.fluxcd.io/v1beta2\nkind: Alert\nmetadata: {{name: podinfo, namespace: apps}}\n\
         spec:\n  providerRef: {{name: git}}\n{sources}{}",
        spec(provider),
        spec(alert)
    )
}

#[test]
fn what_a_cluster_has_becomes_documents_that_apply_takes() {
    let imported = imported(CLUSTER);
    insta::assert_snapshot!(imported.yaml(), @r#"
    # From Provider flux-system/github at a.yaml:6:3.
    apiVersion: notification.toolkit.fluxcd.io/v1beta3
    kind: Provider
    metadata:
      labels:
        team: web
      name: github
      namespace: flux-system
      uid: 0C9c2e41-d2f9-4f9b-9c41-bebc1984d67a
    spec:
      address: https://github.com/acme/fleet
      secretRef:
        name: github-token
      type: github
    ---
    # From Alert flux-system/fleet at a.yaml:34:3.
    # Context kustomization/podinfo/0c9c2e41 becomes dev/apps/kustomization/podinfo.
    # Context kustomization/<name>/0c9c2e41 becomes dev/flux-system/kustomization/<name>.
    apiVersion: notification.toolkit.fluxcd.io/v1beta1
    kind: CommitStatus
    metadata:
      name: fleet
      namespace: flux-system
      uid: 3a5e3a4e-1
    spec:
      eventMetadata:
        env: prod
      eventSeverity: info
      eventSources:
      - kind: Kustomization
        name: "*"
      - kind: Kustomization
        name: podinfo
        namespace: apps
      exclusionList:
      - ^Dependencies
      inclusionList:
      - .*finished.*
      providerRef:
        name: github
      summary: of prod
    "#);
    let validated = validate(&sources(&imported.yaml()), None).unwrap();
    assert_eq!(validated.notes, []);
    assert_eq!(validated.documents.len(), 2);
    let said: Vec<String> = imported.notes.iter().map(Finding::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    a.yaml:23:7: items[0].spec.secretRef: the keys of Secret flux-system/github-token are not in the files; the command below takes token, but with a GitHub App it has githubAppID, githubAppPrivateKey and githubAppInstallationID or githubAppInstallationOwner instead. `kubectl describe secret github-token -n flux-system` shows them
    a.yaml:30:11: items[1].spec.type: Provider flux-system/slack stays in the cluster as it is: `slack` is not about commit statuses
    a.yaml:34:3: items[2]: Alert flux-system/fleet: contexts change from `kustomization/podinfo/0c9c2e41` to `dev/apps/kustomization/podinfo`, `kustomization/<name>/0c9c2e41` to `dev/flux-system/kustomization/<name>`; required checks and tools that ask for the old ones need the new ones, or --keep-names
    a.yaml:64:7: items[3].spec.providerRef: Alert flux-system/chat stays in the cluster as it is: Provider flux-system/slack is of type `slack`
    "#);
    insta::assert_snapshot!(imported.remarks.join("\n"), @r#"progress becomes `pending` until the commit has a result, which Flux posts to Gitea only; write `reportProgress: false` into a rule to have results only"#);
}

#[test]
fn the_steps_can_be_copied() {
    let dev = Scope::Cluster(DEV.into());
    insta::assert_snapshot!(steps(&imported(CLUSTER), &dev, "commitstatus"), @r#"
    # The standard output of this command, as imported.yaml, is what is applied below. Read it first.
    # 1. Register the cluster, unless `commitstatus cluster list` has it.
    commitstatus cluster add dev
    # 2. Copy the secrets, with kubectl at cluster dev; in bash or zsh. No value is shown or in an argument.
    kubectl get secret github-token -n flux-system -o jsonpath='{.data.token}' | base64 -d | commitstatus secret set github-token -n flux-system --cluster dev --from-stdin token
    # 3. Apply the rules and Providers.
    commitstatus apply -f imported.yaml --cluster dev
    # 4. Let the cluster send its events here, besides to the Git host. The output holds a key, so pipe it.
    #    The new Provider and Alert are called commitstatus; the Alert watches apps (Kustomization/*), flux-system (Kustomization/*).
    commitstatus connect dev -n flux-system -n apps | kubectl apply -f -
    # 5. Check. Both report now, so nothing is lost while you look; that the old Alerts do is said, too.
    kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml | commitstatus connect dev --check -
    commitstatus check
    # 6. Once the statuses are there, suspend the old Alerts; where they stand in Git, there.
    flux suspend alert fleet -n flux-system
    # 7. Then this says that all is well.
    kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml | commitstatus connect dev --check -
    "#);

    let everywhere = steps(
        &imported(&pair("github", "", "suspend: true")),
        &Scope::AllClusters,
        "commitstatus --local",
    );
    insta::assert_snapshot!(everywhere, @r#"
    # The standard output of this command, as imported.yaml, is what is applied below. Read it first.
    # NAME stands for each of the clusters.
    # 1. Register the cluster, unless `commitstatus --local cluster list` has it.
    commitstatus --local cluster add NAME
    # 2. Copy the secrets, with kubectl at one of the clusters; in bash or zsh. No value is shown or in an argument.
    kubectl get secret token -n apps -o jsonpath='{.data.token}' | base64 -d | commitstatus --local secret set token -n apps --all-clusters --from-stdin token
    # 3. Apply the rules and Providers.
    commitstatus --local apply -f imported.yaml --all-clusters
    # 4. Let the cluster send its events here, besides to the Git host. The output holds a key, so pipe it.
    #    The new Provider and Alert are called commitstatus; the Alert watches apps (Kustomization/*).
    commitstatus --local connect NAME -n apps | kubectl apply -f -
    # 5. Check. Both report now, so nothing is lost while you look; that the old Alerts do is said, too.
    kubectl get providers.notification.toolkit.fluxcd.io,alerts.notification.toolkit.fluxcd.io -A -o yaml | commitstatus --local connect NAME --check -
    commitstatus --local check
    "#);
}

#[test]
fn one_command_carries_over_all_keys_of_a_secret() {
    let command = |text: &str| {
        let steps = steps(&imported(text), &Scope::Cluster(DEV.into()), "commitstatus");
        let (_, rest) = steps.split_once("in an argument.\n").unwrap();
        rest.split_once("\n# 3.").unwrap().0.to_owned()
    };
    let secret = |data: &str| {
        format!(
            "{}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: apps}}\n{data}",
            pair("github", "certSecretRef: {name: ca}", "")
        )
    };
    let app = "data: {githubAppID: c2VjcmV0LTE=, githubAppPrivateKey: 'ENC[c2VjcmV0LTI=]'}\n\
               stringData: {githubAppInstallationID: 123, address: c2VjcmV0LTM=, headers: x, other: y}\nsops: {mac: a}\n";
    let text = secret(app);
    insta::assert_snapshot!(command(&text), @r#"
    kubectl get secret ca -n apps -o jsonpath='{.data.ca\.crt}' | base64 -d | commitstatus secret set ca -n apps --cluster dev --from-stdin ca.crt
    commitstatus secret set token -n apps --cluster dev \
      --from-file githubAppID=<(kubectl get secret token -n apps -o jsonpath='{.data.githubAppID}' | base64 -d) \
      --from-file githubAppInstallationID=<(kubectl get secret token -n apps -o jsonpath='{.data.githubAppInstallationID}' | base64 -d) \
      --from-file githubAppPrivateKey=<(kubectl get secret token -n apps -o jsonpath='{.data.githubAppPrivateKey}' | base64 -d)
    "#);
    // Names of keys, and no value.
    let said = notes(&text).join("\n");
    insta::assert_snapshot!(said, @r#"
    a.yaml:7:14: spec.secretRef: key `address` of the Secret, at a.yaml:21:44, is not carried over: in Flux it comes before `spec.address`, and here `spec.address` counts: see that the repository is in it
    a.yaml:7:14: spec.secretRef: key `headers` of the Secret, at a.yaml:21:67, is not carried over: no other headers are sent to a Git host than those its API asks for
    a.yaml:7:14: spec.secretRef: key `other` of the Secret, at a.yaml:21:79, is not carried over: nothing here reads it
    a.yaml:8:18: spec.certSecretRef: the keys of Secret apps/ca are not in the files; the command below takes ca.crt, but it may have tls.crt and tls.key, besides or instead. `kubectl describe secret ca -n apps` shows them
    a.yaml:10:1: Alert apps/podinfo: contexts change from `kustomization/<name>/0c9c2e41` to `dev/apps/kustomization/<name>`; required checks and tools that ask for the old ones need the new ones, or --keep-names
    "#);
    for secret in ["c2VjcmV0", "123"] {
        assert!(
            !said.contains(secret) && !command(&text).contains(secret),
            "{said}"
        );
    }
    // One that the cluster does not have is typed.
    assert!(
        command(&pair("azuredevops", "secretRef:", ""))
            .ends_with("commitstatus secret set git-token -n apps --cluster dev --key token")
    );
}

#[test]
fn what_cannot_be_carried_over_is_said_line_by_line() {
    let provider = |fields: &str| pair("github", fields, "");
    let alert = |fields: &str| pair("github", "", fields);
    let cases = [
        (
            provider("channel: a"),
            "a.yaml:8:3: spec.channel: not carried over: a commit status has no channel",
        ),
        (
            provider("interval: 5m"),
            "a.yaml:8:3: spec.interval: not carried over: nothing is polled",
        ),
        (
            provider("proxy: http://u:canary@proxy"),
            "a.yaml:8:3: spec.proxy: not carried over: it may hold a password",
        ),
        (
            provider("username: bot"),
            "a.yaml:8:13: spec.username: not carried over: only bitbucketserver uses it",
        ),
        (
            provider("timeout: 5m"),
            "a.yaml:8:12: spec.timeout: written as 60s, the longest there is",
        ),
        (
            provider("timeout: 500ms"),
            "a.yaml:8:12: spec.timeout: not carried over: no number of whole seconds",
        ),
        (
            provider("address: http://git.acme.com/acme/fleet"),
            "a.yaml:7:12: spec.address: written with `insecure: true`",
        ),
        (
            provider("address: https://x:canary@github.com/acme/fleet"),
            "a.yaml:7:12: spec.address: what stands before the host, up to `@`, is not carried over",
        ),
        (
            provider("proxySecretRef: {name: proxy}"),
            "a.yaml:8:19: spec.proxySecretRef: posts come from the service and no longer from the cluster",
        ),
        (
            provider("commitStatusExpr: \"'x' + provider.metadata.annotations.a\""),
            "a.yaml:8:21: spec.commitStatusExpr: annotations of Provider and Alert are not kept here",
        ),
        (
            provider("futureField: 1"),
            "a.yaml:8:3: spec.futureField: not carried over: unknown field",
        ),
        (
            pair("azuredevops", "secretRef:\nserviceAccountName: sa", ""),
            "a.yaml:5:3: spec.secretRef: missing, and required here, as there is no workload identity: written as `git-token`",
        ),
        (
            pair("azuredevops", "serviceAccountName: sa", ""),
            "a.yaml:8:3: spec.serviceAccountName: not carried over: there is no workload identity here",
        ),
        (
            alert("eventSources:\n- {kind: Kustomization, name: '*', matchLabels: {a: b}}"),
            "a.yaml:15:38: spec.eventSources[0].matchLabels: not carried over, as events carry no labels",
        ),
        (
            alert("eventSources:\n- {kind: Kustomization, name: a}\n- {kind: HelmRelease, name: b}"),
            "a.yaml:16:12: spec.eventSources[1].kind: events of a HelmRelease name a commit only through the annotation",
        ),
        (
            alert("eventMetadata: {commit: a, env: b}"),
            "a.yaml:15:19: spec.eventMetadata.commit: not carried over: a rule never names the commit",
        ),
        (
            alert("eventMetadata: {cluster: '${cluster}'}"),
            "a.yaml:15:19: spec.eventMetadata.cluster: holds `${…}`, which Flux fills in",
        ),
        (
            alert("summary: '${cluster}'"),
            "a.yaml:15:12: spec.summary: holds `${…}`",
        ),
        (
            alert("").replace("providerRef: {name: git}", "providerRef: {name: other}")
                + &format!(
                    "---\n{}",
                    alert("")
                        .replace("name: git", "name: two")
                        .replace("podinfo", "pod2")
                ),
            "a.yaml:13:16: spec.providerRef: Alert apps/podinfo is left aside: Provider apps/other is not in the files",
        ),
        (
            format!("{}---\nreplicas: 2\n", alert("")),
            "a.yaml:16:1: left aside: no object of Kubernetes, as it has no `kind`",
        ),
        (
            format!(
                "{}---\n{}",
                alert(""),
                provider("")
                    .split_once("---")
                    .unwrap()
                    .0
                    .replace("name: git", "name: spare")
            ),
            "a.yaml:16:1: Provider apps/spare is left aside: no Alert in the files",
        ),
    ];
    let mut unsaid = Vec::new();
    for (text, expected) in cases {
        let notes = notes(&text);
        if !notes.iter().any(|note| note.starts_with(expected)) {
            unsaid.push(format!("{expected}\n{text}\n{}", notes.join("\n")));
        }
        assert!(!notes.join("\n").contains("canary"), "{notes:?}");
        let yaml = imported(&text).yaml();
        assert!(!yaml.contains("canary"), "{yaml}");
        validate(&sources(&yaml), None).unwrap();
    }
    assert!(unsaid.is_empty(), "{}", unsaid.join("\n\n"));
}

#[test]
fn what_a_person_has_to_decide_is_a_mistake() {
    let provider = |fields: &str| pair("github", fields, "");
    let alert = |fields: &str| pair("github", "", fields);
    let cases = [
        (
            provider("").replace("address", "adress"),
            "a.yaml:5:3: spec.address: missing; Flux may take it from the key `address` of the secret",
        ),
        (
            provider("address: https://github.com/${OWNER}/fleet"),
            "a.yaml:7:12: spec.address: holds `${…}`, which Flux fills in when it applies the file; take the Provider from \
             the cluster with `kubectl get providers.notification.toolkit.fluxcd.io git -n apps -o yaml`",
        ),
        (
            provider("address: https://github.com/acme"),
            "a.yaml:7:12: spec.address: invalid repository id `acme`",
        ),
        (
            provider("commitStatusExpr: evnt.reason"),
            "a.yaml:8:21: spec.commitStatusExpr: no expression for a context here: column 1: undeclared variable `evnt`",
        ),
        (
            provider("commitStatusExpr: provider.metadata.uid").replace(", uid: 0c9c2e41-d2f9", ""),
            "a.yaml:3:11: metadata.uid: missing, and `spec.commitStatusExpr` reads it; take the Provider from the cluster",
        ),
        (
            alert("inclusionList: ['\\Qa\\E']"),
            "a.yaml:15:19: spec.inclusionList[0]: no regular expression",
        ),
        (
            alert("eventSources: [{kind: Terraform, name: a}]"),
            "a.yaml:14:25: spec.eventSources[0].kind: no kind of Flux",
        ),
        (
            alert("eventSources: []"),
            "a.yaml:14:17: spec.eventSources: empty",
        ),
        (
            alert("eventSeverity: warn"),
            "a.yaml:15:18: spec.eventSeverity: no severity",
        ),
        (
            alert("").replace("  providerRef: {name: git}\n", ""),
            "a.yaml:13:3: spec.providerRef: missing; it is required",
        ),
        (
            format!("{}---\n{}", alert(""), alert("")),
            "a.yaml:16:1: Provider apps/git is given twice; first at a.yaml:1:1",
        ),
        ("kind: [a\n".to_owned(), "a.yaml:1:7: not readable as YAML"),
    ];
    for (text, expected) in cases {
        let mistakes = mistakes(&text);
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(expected)),
            "{expected}\n{text}\n{}",
            mistakes.join("\n")
        );
    }
}

/// What `apply` would not take is found before it is printed, and said at the place it comes from.
#[test]
fn what_apply_would_refuse_is_a_mistake_where_it_stands() {
    let text = pair("github", "address: x:canary@github.com/acme/fleet", "");
    let found = mistakes(&text).join("\n");
    assert!(found.starts_with("a.yaml:7:12: spec.address: "), "{found}");
    assert!(!found.contains("canary"), "{found}");
}

#[test]
fn a_file_that_ends_anywhere_makes_nothing_that_apply_refuses() {
    for (end, _) in CLUSTER.char_indices().step_by(7) {
        let (text, _) = CLUSTER.split_at(end);
        for keep_names in [false, true] {
            if let Ok(imported) = imports(text, keep_names) {
                validate(&sources(&imported.yaml()), None).unwrap_or_else(|error| panic!("{end}: {error}"));
                steps(&imported, &Scope::AllClusters, "commitstatus");
            }
        }
    }
}

#[test]
fn other_objects_in_the_files_are_no_business_of_ours() {
    let others = "\
---
apiVersion: pkg.crossplane.io/v1
kind: Provider
metadata: {name: aws}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: flux-system}
---
apiVersion: v1
kind: Secret
metadata: {name: other, namespace: apps}
data: 7
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: AlertList
items: []
---
# nothing
";
    let text = format!("{}{others}", pair("gitea", "", ""));
    assert_eq!(imported(&text).rules.len(), 1);
    assert_eq!(notes(&text), notes(&pair("gitea", "", "")));
    // Flux reports progress to Gitea, too.
    assert_eq!(imported(&text).remarks, [""; 0]);
}

/// What `rules` calls the status of an event, with the objects as they were imported.
fn context(imported: &Imported, event: &Event) -> String {
    let scope = Scope::Cluster(DEV.into());
    let rule = imported.rules[0].object.clone();
    let provider = imported.providers[0].object.clone();
    let candidate = Candidate {
        reference: Reference {
            scope: scope.clone(),
            name: rule.metadata.object_name(),
        },
        rule: Ok(Arc::new(CompiledRule::compile(rule).unwrap())),
        provider: Some(FoundProvider {
            scope: Scope::Cluster(DEV.into()),
            provider: CompiledProvider::compile(provider).map(Arc::new),
        }),
    };
    let subject = draft::Subject::of(&candidate).unwrap();
    let message: shared::message::EventMessage = serde_json::from_value(json!({
        "id": "00", "cluster": DEV, "generation": 1, "received_at": event.timestamp, "event": event,
    }))
    .unwrap();
    let wanted = evaluate(subject.rule, event).unwrap();
    draft::draft(&message, &candidate.reference, &subject, &wanted)
        .item
        .context
}

fn succeeded(kind: &str, name: &str) -> Event {
    serde_json::from_value(json!({
        "involvedObject": {"kind": kind, "name": name, "namespace": "apps", "apiVersion": "kustomize.toolkit.fluxcd.io/v1"},
        "severity": "info",
        "timestamp": "2026-08-07T13:13:02Z",
        "message": "Reconciliation finished",
        "reason": "ReconciliationSucceeded",
        "metadata": {
            "commit": "5394cb7f48332b2de7c17dd8b8384bbc84b7e738",
            "revision": "main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738",
            "commit_status": "update",
        },
        "reportingController": "kustomize-controller",
    }))
    .unwrap()
}

/// `generateDefaultCommitStatus` of notification-controller, and its own test cases in
/// internal/server/event_handlers_test.go `TestCreateCommitStatus`.
#[test]
fn p18_kept_names_are_those_of_notification_controller() {
    for (uid, kind, name, expected) in [
        (
            "0c9c2e41-d2f9-4f9b-9c41-bebc1984d67a",
            "Kustomization",
            "podinfo",
            "kustomization/podinfo/0c9c2e41",
        ),
        (
            "0C9C2E41-D2F9",
            "HelmRelease",
            "podinfo.web",
            "helmrelease/podinfo.web/0c9c2e41",
        ),
        ("nodash", "Kustomization", "a-b", "kustomization/a-b/nodash"),
    ] {
        for host in HostKind::ALL {
            let text = pair(
                host.as_str(),
                "",
                &format!("eventSources: [{{kind: {kind}, name: '*'}}]"),
            );
            let text = text.replace("0c9c2e41-d2f9", uid);
            assert_eq!(context(&kept(&text), &succeeded(kind, name)), expected, "{host}");
            assert_eq!(
                context(&imported(&text), &succeeded(kind, name)),
                format!("dev/apps/{}/{name}", kind.to_lowercase())
            );
        }
    }
}

#[test]
fn an_expression_of_the_providers_own_stays_as_it_is() {
    let expression =
        "commitStatusExpr: event.involvedObject.name + '/' + event.metadata.env + '/' + alert.metadata.name";
    let text = pair("github", expression, "eventMetadata: {env: prod}");
    for imported in [imported(&text), kept(&text)] {
        assert_eq!(
            context(&imported, &succeeded("Kustomization", "podinfo")),
            "podinfo/prod/podinfo"
        );
        assert_eq!(
            imported.rules[0].yaml.lines().nth(1),
            Some("# Contexts stay: commitStatusExpr of the Provider gives them, as before.")
        );
        let said: Vec<String> = imported.notes.iter().map(Finding::to_string).collect();
        assert!(!said.join("\n").contains("change"), "{said:?}");
    }
}

#[test]
fn names_cannot_be_kept_without_the_uid() {
    let text = pair("github", "", "").replace(", uid: 0c9c2e41-d2f9", "");
    let found = imports(&text, true).unwrap_err().to_string();
    assert_eq!(
        found,
        "a.yaml:3:11: metadata.uid: missing, and the contexts of today have a part of it in them; take the Provider from the \
         cluster with `kubectl get providers.notification.toolkit.fluxcd.io git -n apps -o yaml`"
    );
    let note = notes(&text).pop().unwrap();
    assert!(
        note.contains("`kustomization/<name>/<first part of the Provider's UID>` to `dev/apps/"),
        "{note}"
    );
}

#[test]
fn kept_names_of_several_namespaces_overwrite_each_other_as_before() {
    let sources = |sources: &str| {
        let kept = kept(&pair("github", "", &format!("eventSources: {sources}")));
        let said = kept.notes.iter().map(Finding::to_string);
        let said: Vec<String> = said.filter(|note| note.contains("overwrite")).collect();
        said.join("\n")
    };
    let any = "[{kind: Kustomization, name: '*'}, {kind: Kustomization, name: a, namespace: web}]";
    assert_eq!(
        sources(any),
        "a.yaml:1:1: the old contexts have no namespace in them, so objects of one name in apps, web overwrite each other's \
         status, as in Flux; without --keep-names they do not"
    );
    let apart = "[{kind: Kustomization, name: b}, {kind: Kustomization, name: a, namespace: web}]";
    assert_eq!(sources(apart), "");
}

#[test]
fn alerts_of_one_provider_may_stand_in_several_files() {
    let text = pair("github", "", "");
    let (provider, alert) = text.split_once("---\n").unwrap();
    let file = |name: &str, text: &str| Source {
        name: name.into(),
        text: text.into(),
    };
    let other = alert.replace("podinfo", "other") + "  matchLabels: {}\n";
    let scope = Scope::Cluster(DEV.into());
    let wanted = Wanted {
        namespace: None,
        scope: &scope,
        keep_names: false,
    };
    let files = [
        file("1.yaml", alert),
        file("2.yaml", provider),
        file("3.yaml", &other),
    ];
    let imported = import(&files, &wanted).unwrap();
    assert_eq!(imported.rules.len(), 2);
    let places: Vec<String> = imported
        .notes
        .iter()
        .map(|note| note.position.to_string())
        .collect();
    assert_eq!(places, ["1.yaml:1:1", "2.yaml:7:14", "3.yaml:1:1", "3.yaml:7:3"]);
    let found = import(
        &[
            file("1.yaml", alert),
            file("2.yaml", &provider.replace("github", "slack")),
        ],
        &wanted,
    )
    .unwrap();
    assert!(found.rules.is_empty() && found.yaml().is_empty());
}
