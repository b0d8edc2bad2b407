//! `Provider.spec`.

use expressions::Expression;
use hosts::{HostKind, Repository};
use shared::kinds::ProviderSpec;

use super::commit_status::{boolean_or, local_reference};
use super::decode::{Field, Findings, Mapping, suggest};
use super::duration::whole_seconds;

/// A post takes at least one round trip and must end well before the function does.
pub(crate) const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;

/// Fields of Flux's Provider that have no use here, and what to do instead.
pub(crate) const IGNORED: [(&str, &str); 3] = [
    ("channel", "ignored: a commit status has no channel; remove it"),
    (
        "interval",
        "ignored: nothing is polled; a status is posted when it changes. Remove it",
    ),
    (
        "serviceAccountName",
        "ignored: there is no workload identity here; put the credential into the secret with \
         `commitstatus secret set`",
    ),
];

pub(super) fn decode(spec: &Field<'_>, findings: &mut Findings<'_>) -> Option<ProviderSpec> {
    let mut fields = spec.mapping(findings)?;

    let kind = fields.required("type", findings);
    let kind = kind.and_then(|field| host_kind(&field, findings));
    let insecure = boolean_or(fields.optional("insecure"), false, findings);
    let address = fields.required("address", findings);
    let address = address.and_then(|field| address_of(&field, kind, insecure.unwrap_or_default(), findings));
    let secret_ref = fields.required("secretRef", findings);
    let secret_ref = secret_ref.and_then(|field| local_reference(&field, findings));
    let mut reference = |name| match fields.optional(name) {
        None => Some(None),
        Some(field) => local_reference(&field, findings).map(Some),
    };
    let cert_secret_ref = reference("certSecretRef");
    let proxy_secret_ref = reference("proxySecretRef");
    let username = match fields.optional("username") {
        None => Some(None),
        Some(field) => username(&field, kind, findings),
    };
    let commit_status_expr = match fields.optional("commitStatusExpr") {
        None => Some(None),
        Some(field) => expression(&field, findings).map(Some),
    };
    let timeout_seconds = match fields.optional("timeout") {
        None => Some(None),
        Some(field) => timeout(&field, findings).map(Some),
    };
    let suspend = boolean_or(fields.optional("suspend"), false, findings);
    without_use(&mut fields, findings);
    fields.finish(findings);

    Some(ProviderSpec {
        kind: kind?.as_str().to_owned(),
        address: address?,
        secret_ref: secret_ref?,
        cert_secret_ref: cert_secret_ref?,
        proxy_secret_ref: proxy_secret_ref?,
        username: username?,
        commit_status_expr: commit_status_expr?,
        insecure: insecure?,
        timeout_seconds: timeout_seconds?,
        suspend: suspend?,
    })
}

fn without_use(fields: &mut Mapping<'_>, findings: &mut Findings<'_>) {
    for (name, note) in IGNORED {
        fields.ignored(name, findings, note);
    }
    // Without it a post would go another way than the object says.
    fields.refused(
        "proxy",
        findings,
        "deprecated in Flux, and not supported: it may hold a password. Put the address into the key `address` of a \
         secret with `commitstatus secret set`, and name the secret in `proxySecretRef`",
    );
}

fn host_kind(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<HostKind> {
    let text = field.string(findings)?;
    let found = HostKind::from_type(text);
    if found.is_none() {
        let known = HostKind::ALL.map(HostKind::as_str);
        field.mistake(
            findings,
            format!("no Git host of this service; {}", suggest(text, &known)),
        );
    }
    found
}

/// Only one host is let in with a user name that is not in the secret.
fn username(
    field: &Field<'_>,
    kind: Option<HostKind>,
    findings: &mut Findings<'_>,
) -> Option<Option<String>> {
    let text = field.string(findings)?;
    if text.is_empty() || text.contains(':') || text.contains(char::is_control) {
        field.mistake(findings, "no user name; expected text without `:`");
        return None;
    }
    if kind.is_some_and(|kind| kind != HostKind::BitbucketServer) {
        field.note(
            findings,
            "ignored: only bitbucketserver uses it; what the others need goes into the secret with \
             `commitstatus secret set`",
        );
        return Some(None);
    }
    Some(Some(text.to_owned()))
}

fn expression(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let text = field.string(findings)?;
    match Expression::compile(text) {
        Ok(_) => Some(text.to_owned()),
        Err(mistake) => {
            field.mistake(findings, format!("no expression for a context: {mistake}"));
            None
        }
    }
}

fn address_of(
    field: &Field<'_>,
    kind: Option<HostKind>,
    insecure: bool,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let address = field.string(findings)?;
    let is_given_out = match kind {
        Some(HostKind::AzureDevOps) => names_organization(address),
        Some(HostKind::Bitbucket) => names_user_of_bitbucket(address),
        _ => false,
    };
    if holds_credential(address) && !is_given_out {
        let problem = "holds a credential, which everybody may read here; leave it out of the address and put it into \
                       the secret of `secretRef` with `commitstatus secret set`";
        field.mistake(findings, problem);
        return None;
    }
    // What is right depends on the host.
    if let Err(problem) = Repository::parse(kind?, address, insecure) {
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

/// Azure DevOps puts the organization before its host in what it gives out to be copied.
fn names_organization(address: &str) -> bool {
    let (_, rest) = address.split_once("://").unwrap_or(("", address));
    let Some((user, rest)) = rest.split_once('@') else {
        return false;
    };
    rest.split('/')
        .nth(1)
        .is_some_and(|organization| organization.eq_ignore_ascii_case(user))
}

/// Bitbucket Cloud puts the user who looks before its host in what it gives out to be copied. Its tokens are no names: they
/// are long, and begin in capitals.
fn names_user_of_bitbucket(address: &str) -> bool {
    let user = address
        .strip_prefix("https://")
        .and_then(|rest| rest.split_once("@bitbucket.org/"))
        .map(|(user, _)| user);
    user.is_some_and(|user| {
        (1..=30).contains(&user.len())
            && user
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    })
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
