//! Which statuses are meant.

use std::str::FromStr;

use clap::{ArgGroup, Args};
use shared::CommitSha;
use shared::item::StatusItem;
use shared::kinds::ObjectName;

use crate::commands::scope::dns_label;
use crate::names::{check_label, check_subdomain};

/// Digits of a commit that can be looked up.
const FEWEST_DIGITS: usize = 7;

/// Which statuses; all that are said must hold.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("named").multiple(true))]
pub struct FilterArgs {
    /// Only statuses of this cluster
    #[arg(long, value_name = "NAME", value_parser = dns_label)]
    pub cluster: Option<String>,
    /// Only statuses about this object: NAME, NAMESPACE/NAME, KIND/NAME or KIND/NAMESPACE/NAME
    #[arg(long, value_name = "OBJECT")]
    pub object: Option<ObjectFilter>,
    /// Only statuses of rules of this name
    #[arg(long, value_name = "[NAMESPACE/]NAME", group = "named")]
    pub rule: Option<NameFilter>,
    /// Only statuses that go to the Provider of this name
    #[arg(long, value_name = "[NAMESPACE/]NAME", group = "named")]
    pub provider: Option<NameFilter>,
    /// Namespace of that rule or Provider
    #[arg(short, long, value_parser = dns_label, requires = "named")]
    pub namespace: Option<String>,
    /// Only statuses in repositories with this text in `HOST/REPOSITORY`
    #[arg(long, value_name = "TEXT")]
    pub repository: Option<String>,
}

impl FilterArgs {
    /// Whether a status is one of them.
    pub(in crate::commands) fn takes(&self, status: &StatusItem) -> bool {
        let Self {
            cluster,
            object,
            rule,
            provider,
            namespace,
            repository,
        } = self;
        let is_named = |filter: &Option<NameFilter>, name: &ObjectName| {
            filter
                .as_ref()
                .is_none_or(|filter| filter.takes(name, namespace.as_deref()))
        };
        let has_repository = |text: &String| {
            status
                .key
                .repository()
                .to_lowercase()
                .contains(&text.to_lowercase())
        };
        cluster.as_ref().is_none_or(|cluster| *cluster == status.cluster)
            && object.as_ref().is_none_or(|object| object.takes(status))
            && is_named(rule, &status.rule.name)
            && is_named(provider, &status.provider)
            && repository.as_ref().is_none_or(has_repository)
    }

    /// Whether there is any.
    pub(in crate::commands) fn is_said(&self) -> bool {
        let Self {
            cluster,
            object,
            rule,
            provider,
            namespace: _,
            repository,
        } = self;
        cluster.is_some() || object.is_some() || rule.is_some() || provider.is_some() || repository.is_some()
    }

    /// Statuses of rules of this name.
    pub(in crate::commands) fn of_rule(rule: &ObjectName) -> Self {
        Self {
            rule: Some(NameFilter {
                namespace: Some(rule.namespace.clone()),
                name: rule.name.clone(),
            }),
            ..Self::default()
        }
    }

    /// The rule, if its whole name was said.
    pub(in crate::commands) fn whole_rule(&self) -> Option<ObjectName> {
        let rule = self.rule.as_ref()?;
        let namespace = rule.namespace.as_ref().or(self.namespace.as_ref())?;
        Some(ObjectName::new(namespace, &rule.name))
    }
}

/// The name of a rule or Provider, with or without its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFilter {
    namespace: Option<String>,
    name: String,
}

impl NameFilter {
    fn takes(&self, name: &ObjectName, elsewhere: Option<&str>) -> bool {
        let namespace = self.namespace.as_deref().or(elsewhere);
        self.name == name.name && namespace.is_none_or(|namespace| namespace == name.namespace)
    }
}

impl FromStr for NameFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let expected = |problem: String| format!("{problem}; expected NAME or NAMESPACE/NAME");
        namespace.map_or(Ok(()), check_label).map_err(expected)?;
        check_subdomain(name).map_err(expected)?;
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

/// An object of a cluster, as far as it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFilter {
    parts: Vec<String>,
}

impl ObjectFilter {
    fn takes(&self, status: &StatusItem) -> bool {
        self.names(&status.cluster, &status.object)
    }

    /// Whether an object, as `Kustomization/apps/podinfo`, of a cluster is meant.
    pub(in crate::commands) fn names(&self, cluster: &str, object: &str) -> bool {
        let mut whole = object.splitn(3, '/');
        let (Some(kind), Some(namespace), Some(name)) = (whole.next(), whole.next(), whole.next()) else {
            return false;
        };
        let is_kind = |text: &String| text.eq_ignore_ascii_case(kind);
        match self.parts.as_slice() {
            [only] => only == name,
            // No namespace is called as a kind is.
            [before, last] => last == name && (before == namespace || is_kind(before)),
            [first, between, last] => is_kind(first) && between == namespace && last == name,
            [of, rest @ ..] => *of == *cluster && rest.join("/").eq_ignore_ascii_case(object),
            [] => false,
        }
    }
}

impl FromStr for ObjectFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let is_wrong = |part: &String| part.is_empty() || part.contains(|c: char| c.is_control() || c == ' ');
        if parts.len() > 4 || parts.iter().any(is_wrong) {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(format!(
                "`{shown}` names no object; expected NAME, NAMESPACE/NAME, KIND/NAME or KIND/NAMESPACE/NAME, as \
                 Kustomization/apps/podinfo"
            ));
        }
        Ok(Self { parts })
    }
}

/// A commit as people and `-o name` write it: `5394cb7`, `github.com/acme/fleet@5394cb7`, or
/// `status/github.com/acme/fleet@<sha>/<context>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitArg {
    /// In which repository, if that was said.
    pub repository: Option<String>,
    /// Digits of the commit, or what was said in their place.
    pub digits: String,
    /// Under which context, if that was said.
    pub context: Option<String>,
}

impl CommitArg {
    /// Whether a status of the commit is one of those that are meant.
    pub(in crate::commands) fn takes(&self, status: &StatusItem) -> bool {
        let repository = self.repository.as_deref();
        repository.is_none_or(|repository| repository.eq_ignore_ascii_case(status.key.repository()))
            && is_context(self.context.as_deref(), status)
    }
}

/// Whether a status has the context that was said, as it is posted or as the host compares it.
pub(in crate::commands) fn is_context(context: Option<&str>, status: &StatusItem) -> bool {
    context.is_none_or(|context| context == status.context || context == status.key.sk)
}

impl From<&str> for CommitArg {
    fn from(text: &str) -> Self {
        let text = text.strip_prefix("status/").unwrap_or(text);
        let named = text.match_indices('@').find_map(|(at, _)| {
            let (repository, rest) = (text.get(..at)?, text.get(at + 1..)?);
            let (digits, context) = match rest.split_once('/') {
                Some((digits, context)) => (digits, Some(context)),
                None => (rest, None),
            };
            let is_commit = (FEWEST_DIGITS..=CommitSha::DIGITS).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_commit.then(|| Self {
                repository: Some(repository.to_owned()),
                digits: digits.to_owned(),
                context: context.map(str::to_owned),
            })
        });
        named.unwrap_or_else(|| Self {
            repository: None,
            digits: text.to_owned(),
            context: None,
        })
    }
}

/// The name of a status, which [`CommitArg`] reads.
pub(in crate::commands) fn name(status: &StatusItem) -> String {
    format!("status/{}/{}", status.key.pk, status.context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::status;

    const SHA: &str = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738";

    #[test]
    fn an_object_is_found_by_as_much_as_was_said() {
        let status = status(SHA, "dev/a");
        let takes = |text: &str| text.parse::<ObjectFilter>().unwrap().takes(&status);
        for right in [
            "webapp",
            "flux-system/webapp",
            "Kustomization/webapp",
            "kustomization/webapp",
            "Kustomization/flux-system/webapp",
            "dev/Kustomization/flux-system/webapp",
        ] {
            assert!(takes(right), "{right}");
        }
        for other in [
            "web",
            "apps/webapp",
            "HelmRelease/webapp",
            "Kustomization/apps/webapp",
            "flux-system/Kustomization/webapp",
            "prod/Kustomization/flux-system/webapp",
        ] {
            assert!(!takes(other), "{other}");
        }
        for wrong in ["", "/webapp", "a//b", "a/b/c/d/e", "a b", "a\nb"] {
            let error = wrong.parse::<ObjectFilter>().unwrap_err();
            assert!(error.contains("expected NAME, NAMESPACE/NAME"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_name_takes_its_namespace_from_itself_or_from_elsewhere() {
        let name = ObjectName::new("apps", "github");
        let takes = |text: &str, elsewhere| text.parse::<NameFilter>().unwrap().takes(&name, elsewhere);
        assert!(takes("github", None) && takes("github", Some("apps")) && takes("apps/github", None));
        assert!(takes("apps/github", Some("other")), "the nearer one counts");
        assert!(!takes("gitlab", None) && !takes("github", Some("other")) && !takes("other/github", None));
        for wrong in ["", "a/", "/a", "A/b", "a/b/c", "Ab"] {
            let error = wrong.parse::<NameFilter>().unwrap_err();
            assert!(
                error.ends_with("expected NAME or NAMESPACE/NAME"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn the_name_of_a_status_is_read_again() {
        let mut status = status(SHA, "team@5394cb7f/kustomization/webapp");
        for pk in [
            format!("github.com/a/b@{SHA}"),
            format!("no-provider/dev/apps/x@{SHA}"),
            format!("git.acme.internal:8443/a@b/c@{SHA}"),
        ] {
            status.key.pk = pk;
            let read = CommitArg::from(name(&status).as_str());
            assert_eq!(read.digits, SHA);
            assert!(read.takes(&status), "{read:?}");
            let mut other = status.clone();
            (other.context, other.key.sk) = ("dev/other".into(), "dev/other".into());
            assert!(!read.takes(&other), "{read:?}");
        }
        assert_eq!(CommitArg::from("5394cb7").digits, "5394cb7");
        assert_eq!(
            CommitArg::from("v1@x").digits,
            "v1@x",
            "what is no commit is refused later"
        );
        let short = CommitArg::from("github.com/a/b@5394cb7");
        assert_eq!((short.digits.as_str(), short.context), ("5394cb7", None));
    }
}
