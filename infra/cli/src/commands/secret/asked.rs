//! Which Providers a secret is for, and whether they may post with it.

use jiff::Timestamp;
use shared::kinds::{LocalReference, ObjectName, Provider};
use shared::{ErrorChain, Scope};

use super::super::{Terminal, style};
use crate::object::{Kind, Object};
use crate::probe::{Probed, Prober};
use crate::secrets::SecretStore;
use crate::store::{Store, StoreError};

/// Providers that name a secret in one of their references.
pub(super) async fn providers(
    store: &Store,
    scope: &Scope,
    namespace: &str,
    secret: &str,
) -> Result<Vec<Provider>, StoreError> {
    let is_named = |reference: &LocalReference| reference.name == secret;
    let mut found = Vec::new();
    for (_, object) in store.list(Kind::Provider, Some(scope)).await? {
        let Object::Provider(provider) = object else {
            continue;
        };
        let spec = &provider.spec;
        let others = [&spec.cert_secret_ref, &spec.proxy_secret_ref];
        let names_it = is_named(&spec.secret_ref) || others.into_iter().flatten().any(is_named);
        if provider.metadata.namespace == namespace && names_it {
            found.push(provider);
        }
    }
    Ok(found)
}

/// Name of the secret a Provider names in `secretRef`.
///
/// # Errors
/// If there is no such Provider.
pub(super) async fn secret_of(
    store: &Store,
    scope: &Scope,
    namespace: &str,
    provider: &str,
) -> anyhow::Result<String> {
    let name = ObjectName::new(namespace, provider);
    let found = store.provider(scope, &name).await?;
    let found = found.ok_or_else(|| {
        anyhow::anyhow!(
            "there is no Provider {name} for {}; apply it first, or give the name of the secret alone",
            crate::object::describe_scope(scope)
        )
    })?;
    Ok(found.spec.secret_ref.name)
}

/// Asks the hosts, and says what each means for the Provider. The secret is written whatever they say.
pub(super) async fn ask(
    providers: &[Provider],
    scope: &Scope,
    secrets: &impl SecretStore,
    stack: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let prober = Prober::new(secrets, stack)?;
    let bar = terminal.progress(
        u64::try_from(providers.len()).unwrap_or_default(),
        "asking Git hosts",
    );
    let mut answers = Vec::new();
    for provider in providers.iter().filter(|provider| !provider.spec.suspend) {
        answers.push((provider, prober.probe(scope, provider, now).await));
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (provider, answer) in answers {
        let name = provider.metadata.object_name();
        match answer {
            Ok(Probed::MayPost) => writeln!(
                terminal.out,
                "provider/{} {}: it may post to {}",
                name.name,
                terminal.paint(style::GOOD, "checked"),
                provider.spec.address
            )?,
            Ok(probed) => terminal.warn(format!(
                "Provider {name}: {}; correct that and set the secret again, or see docs/providers.md for what to grant",
                probed.problem().unwrap_or_default()
            ))?,
            Err(error) => terminal.warn(format!(
                "Provider {name} was not checked: {}; `commitstatus check` does it later",
                ErrorChain(error.as_ref())
            ))?,
        }
    }
    Ok(())
}
