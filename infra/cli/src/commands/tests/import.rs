//! `import` as an operator calls it.

use super::Operator;

const FILES: &str = "\
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: github, namespace: flux-system, uid: 0c9c2e41-d2f9}
spec: {type: github, address: 'https://github.com/acme/fleet', secretRef: {name: github-token}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: fleet, namespace: flux-system}
spec:
  providerRef: {name: github}
  eventSources: [{kind: Kustomization, name: '*'}]
";

#[tokio::test]
async fn what_is_imported_can_be_applied_as_it_is() {
    let operator = Operator::with_root_key().await;
    let said = operator
        .says("import -f - --cluster dev --keep-names", FILES)
        .await
        .ok();
    assert!(
        said.err
            .contains("\ncommitstatus apply -f imported.yaml --cluster dev\n"),
        "{}",
        said.err
    );
    operator.says("cluster add dev", "").await.ok();
    let applied = operator.says("apply -f - --cluster dev", &said.out).await.ok();
    assert_eq!(applied.out.matches(" created (").count(), 2, "{}", applied.out);
    assert!(
        !applied.err.contains("reads provider.metadata.uid"),
        "{}",
        applied.err
    );
    // The namespaces the steps name are those the cluster then watches.
    operator.says("connect dev -n flux-system", "").await.ok();
    let again = operator.says("apply -f - --cluster dev", &said.out).await.ok();
    assert_eq!(again.err, "");
}

#[tokio::test]
async fn names_are_kept_for_one_cluster_at_a_time() {
    let operator = Operator::new().await;
    let error = operator
        .says("import -f - --all-clusters --keep-names", FILES)
        .await
        .error();
    assert!(
        error.contains("run it once for each with --cluster NAME"),
        "{error}"
    );
    let said = operator.says("import -f - --all-clusters", FILES).await.ok();
    assert!(
        said.err.contains("--all-clusters --from-stdin token"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn files_without_anything_to_import_say_what_would_be() {
    let operator = Operator::new().await;
    let slack = FILES.replace("type: github", "type: slack");
    let said = operator.says("import -f - --cluster dev", &slack).await;
    assert_eq!(said.out, "");
    assert!(
        said.err
            .contains("stdin:10:16: spec.providerRef: Alert flux-system/fleet stays in the cluster"),
        "{}",
        said.err
    );
    assert!(
        said.error()
            .starts_with("nothing in the files reports to a Git host")
    );
}

#[tokio::test]
async fn mistakes_print_no_documents() {
    let operator = Operator::new().await;
    let said = operator
        .says(
            "import -f - --cluster dev",
            &FILES.replace("Kustomization", "Kustomisation"),
        )
        .await;
    assert_eq!(said.out, "");
    let error = said.error();
    assert!(
        error.starts_with("1 mistake in the files, so nothing was done")
            && error.contains(
                "stdin:11:25: spec.eventSources[0].kind: no kind of Flux; did you mean `Kustomization`?"
            ),
        "{error}"
    );
}
