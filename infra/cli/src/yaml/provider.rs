//! `Provider.spec`.

use shared::kinds::{HostKind, ProviderSpec};
use shared::repository::Repository;

use super::commit_status::{boolean_or, local_reference};
use super::decode::{Field, Findings, Mapping, suggest};
use super::duration::whole_seconds;

/// Git hosts Flux knows and a later release will.
const NOT_YET: [&str; 3] = ["azuredevops", "bitbucketserver", "gitea"];
/// A post takes at least one round trip and must end well before the function does.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

pub(super) fn decode(spec: &Field<'_>, findings: &mut Findings<'_>) -> Option<ProviderSpec> {
    let mut fields = spec.mapping(findings)?;

    let kind = fields.required("type", findings);
    let kind = kind.and_then(|field| host_kind(&field, findings));
    let address = fields.required("address", findings);
    let address = address.and_then(|field| address_of(&field, kind, findings));
    let secret_ref = fields.required("secretRef", findings);
    let secret_ref = secret_ref.and_then(|field| local_reference(&field, findings));
    let timeout_seconds = match fields.optional("timeout") {
        None => Some(None),
        Some(field) => timeout(&field, findings).map(Some),
    };
    let suspend = boolean_or(fields.optional("suspend"), false, findings);
    without_use(&mut fields, findings);
    fields.finish(findings);

    Some(ProviderSpec {
        kind: kind?,
        address: address?,
        secret_ref: secret_ref?,
        timeout_seconds: timeout_seconds?,
        suspend: suspend?,
    })
}

fn without_use(fields: &mut Mapping<'_>, findings: &mut Findings<'_>) {
    fields.ignored(
        "channel",
        findings,
        "ignored: a commit status has no channel; remove it",
    );
    fields.ignored(
        "interval",
        findings,
        "ignored: nothing is polled; a status is posted when it changes. Remove it",
    );
    fields.ignored(
        "serviceAccountName",
        findings,
        "ignored: there is no workload identity here; put the credential into the secret with \
         `commitstatus secret set`",
    );
    fields.ignored(
        "username",
        findings,
        "ignored: not used by github, gitlab and bitbucket; what they need goes into the secret with \
         `commitstatus secret set`",
    );
    // Without these a post would go another way, or under another name, than the object says.
    for name in ["certSecretRef", "proxySecretRef", "proxy", "commitStatusExpr"] {
        fields.refused(name, findings, "not supported by this release yet; remove it");
    }
}

fn host_kind(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<HostKind> {
    let text = field.string(findings)?;
    let found = HostKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    if found.is_none() {
        let supported = HostKind::ALL.map(HostKind::as_str);
        let problem = if NOT_YET.contains(&text) {
            format!(
                "not supported by this release yet (supported: {})",
                supported.join(", ")
            )
        } else {
            format!("no Git host of this service; {}", suggest(text, &supported))
        };
        field.mistake(findings, problem);
    }
    found
}

fn address_of(field: &Field<'_>, kind: Option<HostKind>, findings: &mut Findings<'_>) -> Option<String> {
    let address = field.string(findings)?;
    if holds_credential(address) {
        let problem = "holds a credential, which everybody may read here; leave it out of the address and put it into \
                       the secret of `secretRef` with `commitstatus secret set`";
        field.mistake(findings, problem);
        return None;
    }
    // What is right depends on the host.
    if let Err(problem) = Repository::parse(kind?, address) {
        field.mistake(findings, problem.to_string());
        return None;
    }
    Some(address.to_owned())
}

/// A user alone is as in `git@github.com:…`; over HTTPS the user is the token.
fn holds_credential(address: &str) -> bool {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':') || scheme.starts_with("http"))
}

fn timeout(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    let text = field.string(findings)?;
    let seconds = whole_seconds(text).filter(|seconds| TIMEOUT_SECONDS.contains(seconds));
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    if seconds.is_none() {
        field.mistake(
            findings,
            "expected a duration in whole seconds from 1s to 60s, such as 30s or 1m",
        );
    }
    seconds
}
