//! Names of hosts become addresses here, and only those that may be connected to come out. The client connects to what
//! comes out and asks nobody again, so an answer that changes meanwhile changes nothing.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address_policy::AddressPolicy;

/// Lets through what the policy takes of the answers of another resolver. Of a name with public and other addresses the
/// public ones are used; a name without any is refused.
pub(super) struct JudgingResolver {
    policy: Arc<AddressPolicy>,
    lookup: Arc<dyn Resolve>,
}

impl JudgingResolver {
    pub(super) fn new(policy: Arc<AddressPolicy>, lookup: Arc<dyn Resolve>) -> Self {
        Self { policy, lookup }
    }
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let answer = self.lookup.resolve(name);
        Box::pin(async move {
            let mut taken = Vec::new();
            let mut refused = None;
            for address in answer.await? {
                match policy.check(address.ip()) {
                    Ok(()) => taken.push(address),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            match refused {
                Some(error) if taken.is_empty() => Err(error.into()),
                _ => Ok(Box::new(taken.into_iter()) as Addrs),
            }
        })
    }
}

/// The resolver of the operating system.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The client puts the URL's port in the place of 0.
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(addresses.collect::<Vec<_>>().into_iter());
            Ok(addresses)
        })
    }
}
