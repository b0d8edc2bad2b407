//! What is known of a Provider.

use std::collections::BTreeMap;

use hosts::{Certificates, HostKind, Proxy, Repository};
use jiff::Timestamp;
use poster::pace::Slowness;
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;
use shared::item::{CredentialItem, StatusItem, secret_name};
use shared::kinds::LocalReference;
use shared::{ErrorChain, Provider, Scope};

use super::block::Block;
use super::rule::suspended;
use super::stack::{Everything, provider_of};
use crate::commands::print::moment;
use crate::commands::statuses::Stand;
use crate::commands::style;
use crate::object::describe_scope;
use crate::probe::missing_right;
use crate::secrets::{SecretStore, provider_secret_name};
use crate::store::{Applied, Store};

/// Where else something is known of it.
pub(super) struct Place<'a, S> {
    pub(super) store: &'a Store,
    pub(super) secrets: &'a S,
    pub(super) stack: &'a str,
}

pub(super) async fn block<S: SecretStore>(
    applied: &Applied,
    provider: &Provider,
    everything: &Everything,
    waiting: &[StatusItem],
    place: &Place<'_, S>,
    now: Timestamp,
) -> anyhow::Result<Block> {
    let (scope, spec) = (&applied.scope, &provider.spec);
    let namespace = &provider.metadata.namespace;
    let mut block = Block::default();
    block.field("Name", &provider.metadata.name);
    block.field("Namespace", namespace);
    block.field("For", describe_scope(scope));
    block.optional(
        "Applied",
        applied.applied_at.map(|at| moment(at.as_millisecond(), now)),
    );
    suspended(&mut block, spec.suspend, "what is due is parked");
    block.field("Type", &spec.kind);
    block.field("Address", &spec.address);
    match Repository::of(spec) {
        Ok(repository) => block.field("Repository", repository.key()),
        Err(error) => block.painted("Repository", error, Some(style::BAD)),
    }
    let kind = HostKind::from_type(&spec.kind);
    let seconds = spec.timeout_seconds.or(kind.map(HostKind::timeout_seconds));
    block.optional("Timeout", seconds.map(|seconds| format!("{seconds}s")));
    block.optional("Username", spec.username.as_deref());
    block.optional("Contexts", spec.commit_status_expr.as_deref());
    if spec.insecure {
        block.painted("Insecure", "the address may be http://", Some(style::DOUBTFUL));
    }
    let secret = |reference: &LocalReference, key: &str| NamedSecret {
        name: provider_secret_name(place.stack, scope, namespace, &reference.name),
        set: format!(
            "commitstatus secret set {} -n {namespace} {} {key}",
            reference.name,
            match scope {
                Scope::AllClusters => "--all-clusters".to_owned(),
                Scope::Cluster(name) => format!("--cluster {name}"),
            }
        ),
    };
    let check = |value: &SecretString| match kind {
        Some(kind) => kind
            .access(value, spec.username.as_deref())
            .map(drop)
            .map_err(|error| error.to_string()),
        None => Ok(()),
    };
    secret_lines(
        &mut block,
        "Secret",
        &secret(&spec.secret_ref, "--key token"),
        place.secrets,
        check,
    )
    .await;
    if let Some(reference) = &spec.cert_secret_ref {
        let check = |value: &SecretString| {
            let certificates = Certificates::from_secret(value);
            certificates.map(drop).map_err(|error| error.to_string())
        };
        secret_lines(
            &mut block,
            "Certificates",
            &secret(reference, "--from-file ca.crt=PATH"),
            place.secrets,
            check,
        )
        .await;
    }
    if let Some(reference) = &spec.proxy_secret_ref {
        let check = |value: &SecretString| {
            let proxy = Proxy::from_secret(value);
            proxy.map(drop).map_err(|error| error.to_string())
        };
        let secret = secret(reference, "--key address");
        secret_lines(&mut block, "Proxy", &secret, place.secrets, check).await;
    }
    let credential = secret_name(scope, namespace, &spec.secret_ref.name);
    let kept = place.store.credential(&credential).await?;
    block.section("Credential", |block| {
        block.field("Name", &credential);
        hold(block, kept.as_ref(), now);
    });
    let count = |stand| {
        let of_it = waiting.iter().filter(|status| {
            status.credential == credential && status.provider == provider.metadata.object_name()
        });
        of_it.filter(|status| Stand::of(status) == stand).count()
    };
    for stand in [Stand::Due, Stand::Parked] {
        let count = count(stand);
        block.painted(stand.title(), count, stand.style().filter(|_| count > 0));
    }
    block.list("Used by", users(scope, provider, everything));
    Ok(block)
}

/// A secret, and the command that writes it.
struct NamedSecret {
    name: String,
    set: String,
}

/// A secret, the names of its keys, and whether they suffice. Never what they hold.
async fn secret_lines<S: SecretStore>(
    block: &mut Block,
    label: &str,
    secret: &NamedSecret,
    secrets: &S,
    check: impl Fn(&SecretString) -> Result<(), String>,
) {
    let current = secrets.current(&secret.name).await;
    block.section(label, |block| {
        block.field("Name", &secret.name);
        match current {
            Ok(None) => block.painted(
                "There",
                format!("no: `{}` writes it", secret.set),
                Some(style::BAD),
            ),
            Ok(Some(value)) => {
                let keys = keys(&value);
                block.field("Keys", keys.as_deref().unwrap_or("none: it is not a JSON object"));
                match check(&value) {
                    Ok(()) => block.painted(
                        "Usable",
                        "yes, as far as can be seen from here",
                        Some(style::GOOD),
                    ),
                    Err(problem) => block.painted("Usable", format!("no: {problem}"), Some(style::BAD)),
                }
            }
            // Who operates a stack need not be allowed to read its secrets.
            Err(error) => {
                let next = match missing_right(&error) {
                    Some(right) => format!("reading it takes {right}"),
                    None => format!("mend that, or write it again: `{}`", secret.set),
                };
                let text = format!("not known: {}; {next}", ErrorChain(&error));
                block.painted("There", text, Some(style::DOUBTFUL));
            }
        }
    });
}

fn keys(secret: &SecretString) -> Option<String> {
    let keys: BTreeMap<String, IgnoredAny> = serde_json::from_str(secret.expose_secret()).ok()?;
    Some(Vec::from_iter(keys.into_keys()).join(", "))
}

/// Whether anything is posted with a credential now, and how fast.
pub(super) fn hold(block: &mut Block, credential: Option<&CredentialItem>, now: Timestamp) {
    match held(credential, now) {
        Some((until, reason)) => {
            block.painted("Held until", moment(until, now), Some(style::BAD));
            block.field("Reason", reason);
            if let Some(credential) = credential {
                block.field("Holds in a row", credential.holds);
            }
        }
        None => block.field("Held", "no"),
    }
    let slowness = credential.and_then(|credential| {
        let slowness = Slowness {
            doublings: credential.slowed,
            since: credential.slowed_at?,
        };
        Some(slowness.doublings_at(now.as_millisecond()))
    });
    if let Some(doublings) = slowness.filter(|doublings| *doublings > 0) {
        let pace = format!(
            "{} times slower than its host advises, after limits that meant \"too fast\"; halves every ten quiet minutes",
            1_u64 << doublings
        );
        block.painted("Pace", pace, Some(style::DOUBTFUL));
    }
}

/// Until when it is held, and why.
pub(super) fn held(credential: Option<&CredentialItem>, now: Timestamp) -> Option<(i64, &str)> {
    let credential = credential?;
    let until = credential
        .hold_until
        .filter(|until| *until > now.as_millisecond())?;
    Some((until, credential.hold_reason.as_deref().unwrap_or("no reason")))
}

/// The rules whose statuses go to it: in each cluster its own Provider serves before the one for all.
fn users(scope: &Scope, provider: &Provider, everything: &Everything) -> Vec<String> {
    let name = provider.metadata.object_name();
    let rules = everything.rules.iter().filter(|(of, rule)| {
        let is_named = provider_of(rule) == name;
        is_named
            && match (of, scope) {
                (Scope::Cluster(cluster), _) => everything
                    .provider(cluster, &name)
                    .is_some_and(|(serving, _)| serving == scope),
                (Scope::AllClusters, _) => true,
            }
    });
    rules
        .map(|(of, rule)| {
            format!(
                "CommitStatus {}, for {}",
                rule.metadata.object_name(),
                describe_scope(of)
            )
        })
        .collect()
}
