//! The name a status has on its commit.

use shared::kinds::HostKind;
use shared::message::hex_sha256;
use shared::{CommitStatusRule, InvolvedObject};

/// Longest context every host takes: 255 at GitHub (<https://github.com/runatlantis/atlantis/issues/2506>) and GitLab,
/// and for the visible name at Bitbucket. Counted in bytes, which is never less than in characters.
const LIMIT: usize = 255;

/// Hexadecimal digits of the hash that ends a context which was cut.
const HASH_DIGITS: usize = 10;

/// The context of an object under a rule: `prefix/kind/name`, without an explicit prefix `cluster/namespace/kind/name`,
/// so that neither two clusters nor two namespaces overwrite each other.
pub fn context(rule: &CommitStatusRule, cluster: &str, object: &InvolvedObject) -> String {
    let name = format!("{}/{}", object.kind.to_lowercase(), object.name.to_lowercase());
    let whole = match rule.spec.prefix.as_deref() {
        Some("") => name,
        Some(prefix) => format!("{prefix}/{name}"),
        None => format!("{cluster}/{}/{name}", object.namespace),
    };
    cut(whole)
}

/// The context as the host compares it: GitHub without case.
pub fn context_key(host: Option<HostKind>, context: &str) -> String {
    match host {
        Some(HostKind::GitHub) => context.to_lowercase(),
        Some(HostKind::GitLab | HostKind::Bitbucket) | None => context.to_owned(),
    }
}

fn cut(whole: String) -> String {
    if whole.len() <= LIMIT {
        return whole;
    }
    let hash = hex_sha256(&[&whole]);
    let mut end = LIMIT - HASH_DIGITS - 1;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{}", &whole[..end], &hash[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{object, rule};
    use proptest::prelude::*;

    #[test]
    fn tells_clusters_and_namespaces_apart_unless_told_otherwise() {
        let cases = [
            (None, "prod-eu-1/apps/kustomization/podinfo"),
            (Some("dev"), "dev/kustomization/podinfo"),
            (Some("a/b"), "a/b/kustomization/podinfo"),
            (Some(""), "kustomization/podinfo"),
        ];
        for (prefix, expected) in cases {
            let mut rule = rule();
            rule.spec.prefix = prefix.map(str::to_owned);
            assert_eq!(context(&rule, "prod-eu-1", &object()), expected);
        }
    }

    // notification-controller internal/server/provider_commit_status_test.go: kind and name are lower-cased.
    #[test]
    fn lower_cases_kind_and_name_but_not_the_prefix() {
        let mut rule = rule();
        rule.spec.prefix = Some("DEV".into());
        let mut object = object();
        object.kind = "HelmRelease".into();
        object.name = "PodInfo".into();
        assert_eq!(context(&rule, "c", &object), "DEV/helmrelease/podinfo");
    }

    #[test]
    fn two_long_contexts_stay_apart_when_cut() {
        let long = |last: &str| cut(format!("{}{last}", "x".repeat(300)));
        assert_eq!(long("a").len(), LIMIT);
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn github_compares_without_case() {
        assert_eq!(context_key(Some(HostKind::GitHub), "DEV/x"), "dev/x");
        assert_eq!(context_key(Some(HostKind::GitLab), "DEV/x"), "DEV/x");
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit(whole in "\\PC{0,400}") {
            let cut = cut(whole.clone());
            prop_assert!(cut.len() <= LIMIT);
            prop_assert!(whole.len() > LIMIT || cut == whole);
        }
    }
}
