//! The name a status has on its commit.

use hosts::HostKind;
use shared::message::hex_sha256;
use shared::{CommitStatusRule, InvolvedObject};

/// Longest context while it is not known for which host it is. Hosts have limits in characters; bytes are never less.
const LIMIT: usize = 255;

/// Hexadecimal digits of the hash that ends a context which was cut.
const HASH_DIGITS: usize = 10;

/// The context of an object under a rule: `prefix/kind/name`, without an explicit prefix `cluster/namespace/kind/name`,
/// so that neither two clusters nor two namespaces overwrite each other.
pub fn context(
    rule: &CommitStatusRule,
    cluster: &str,
    object: &InvolvedObject,
    host: Option<HostKind>,
) -> String {
    let name = format!("{}/{}", object.kind.to_lowercase(), object.name.to_lowercase());
    match rule.spec.prefix.as_deref() {
        Some(prefix) => with_prefix(Some(prefix), &name, host),
        None => cut(&format!("{cluster}/{}/{name}", object.namespace), host),
    }
}

/// A context with the prefix a rule sets, if it sets one.
pub fn with_prefix(prefix: Option<&str>, context: &str, host: Option<HostKind>) -> String {
    match prefix {
        None | Some("") => cut(context, host),
        Some(prefix) => cut(&format!("{prefix}/{context}"), host),
    }
}

/// No longer than the host takes, ending in a hash of the whole if it was.
pub fn cut(whole: &str, host: Option<HostKind>) -> String {
    let limit = host.map_or(LIMIT, HostKind::max_context_chars);
    if whole.len() <= limit {
        return whole.to_owned();
    }
    let hash = hex_sha256(&[whole]);
    let mut end = limit - HASH_DIGITS - 1;
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
            assert_eq!(context(&rule, "prod-eu-1", &object(), None), expected);
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
        assert_eq!(context(&rule, "c", &object, None), "DEV/helmrelease/podinfo");
    }

    #[test]
    fn two_long_contexts_stay_apart_when_cut() {
        let long = |last: &str| cut(&format!("{}{last}", "x".repeat(300)), None);
        assert_eq!(long("a").len(), LIMIT);
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn a_host_with_a_lower_limit_gets_less() {
        let cut = cut(&"x".repeat(200), Some(HostKind::AzureDevOps));
        assert_eq!(cut.len(), 128);
    }

    proptest! {
        #[test]
        fn never_longer_than_the_limit(whole in "\\PC{0,400}") {
            let cut = cut(&whole, None);
            prop_assert!(cut.len() <= LIMIT);
            prop_assert!(whole.len() > LIMIT || cut == whole);
        }
    }
}
