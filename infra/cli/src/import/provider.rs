//! A Provider of Flux to one of this service.

use expressions::Expression;
use hosts::{HostKind, Repository};
use shared::Provider;
use shared::kinds::{LocalReference, Metadata, ObjectName, ProviderSpec};

use super::objects::{Raw, entry, head, is_filled_in, string, unknown};
use super::{Named, Wanted, context};
use crate::yaml::commit_status::{boolean_or, local_reference};
use crate::yaml::decode::{Field, Findings, Mapping};
use crate::yaml::duration::whole_seconds;
use crate::yaml::node::Place;
use crate::yaml::provider::TIMEOUT_SECONDS;

/// What of the Provider's object expressions name it by.
const UID: &str = "provider.metadata.uid";

/// A Provider in the files.
#[derive(Debug)]
pub(super) struct OldProvider {
    pub metadata: Metadata,
    /// `type`, as it is written.
    pub kind: String,
    pub kind_at: Place,
    /// `None` for what is not about commit statuses.
    pub host: Option<HostKind>,
    /// Whether it has an expression of its own for the context.
    pub has_expression: bool,
}

impl Named for OldProvider {
    const KIND: &'static str = "Provider";

    fn name(&self) -> ObjectName {
        self.metadata.object_name()
    }
}

/// Which one it is, and whether it is about commit statuses.
pub(super) fn identify(
    raw: &Raw<'_>,
    wanted: &Wanted<'_>,
    findings: &mut Findings<'_>,
) -> Option<OldProvider> {
    let (mut object, metadata) = head(raw, wanted, findings)?;
    let spec = object.required("spec", findings)?;
    let kind = spec.mapping(findings)?.required("type", findings)?;
    let text = kind.string(findings)?;
    let expression = entry(spec.node, "commitStatusExpr").and_then(string);
    Some(OldProvider {
        metadata,
        kind: text.to_owned(),
        kind_at: kind.node.at,
        host: HostKind::from_type(text),
        has_expression: expression.is_some_and(|text| !text.is_empty()),
    })
}

/// The Provider as it is here.
pub(super) fn convert(
    raw: &Raw<'_>,
    old: &OldProvider,
    host: HostKind,
    wanted: &Wanted<'_>,
    findings: &mut Findings<'_>,
) -> Option<Provider> {
    // What is wrong with these was said when they were identified.
    let mut quiet = Findings::new(findings.file);
    let (mut object, metadata) = head(raw, wanted, &mut quiet)?;
    let spec = object.required("spec", &mut quiet)?;
    unknown(object, findings);
    let mut fields = spec.mapping(&mut quiet)?;
    fields.skipped(&["type"]);

    let address = address(&mut fields, old, host, findings);
    let secret_ref = match fields.optional("secretRef") {
        Some(field) => local_reference(&field, findings),
        None => Some(invented_secret(&fields, old, findings)),
    };
    let mut reference = |name| match fields.optional(name) {
        None => Some(None),
        Some(field) => local_reference(&field, findings).map(Some),
    };
    let cert_secret_ref = reference("certSecretRef");
    let proxy_secret_ref = reference("proxySecretRef");
    if let Some(Some(_)) = proxy_secret_ref {
        findings.note(
            raw.place_of("spec.proxySecretRef"),
            &raw.path("spec.proxySecretRef"),
            "posts come from the service and no longer from the cluster, so the proxy must be reachable from there; leave the \
             field out if the host is",
        );
    }
    let username = username(&mut fields, host, findings);
    let timeout_seconds = timeout(&mut fields, findings);
    let suspend = boolean_or(fields.optional("suspend"), false, findings);
    let commit_status_expr = expression(&mut fields, raw, old, wanted, findings);
    without_place(&mut fields, findings);
    unknown(fields, findings);

    let (address, insecure) = address?;
    Some(Provider {
        metadata,
        spec: ProviderSpec {
            kind: host.as_str().to_owned(),
            address,
            secret_ref: secret_ref?,
            cert_secret_ref: cert_secret_ref?,
            proxy_secret_ref: proxy_secret_ref?,
            username: username?,
            commit_status_expr: commit_status_expr?,
            insecure,
            timeout_seconds: timeout_seconds?,
            suspend: suspend?,
        },
    })
}

/// The address, and whether it has to be `insecure`.
fn address(
    fields: &mut Mapping<'_>,
    old: &OldProvider,
    host: HostKind,
    findings: &mut Findings<'_>,
) -> Option<(String, bool)> {
    let (name, namespace) = (&old.metadata.name, &old.metadata.namespace);
    let (at, path) = (fields.at, format!("{}.address", fields.path));
    let Some(field) = fields.optional("address") else {
        findings.mistake(
            at,
            &path,
            "missing; Flux may take it from the key `address` of the secret, which is not read here. Write the address of \
             the repository into this field",
        );
        return None;
    };
    let text = field.string(findings)?;
    if is_filled_in(text) {
        field.mistake(
            findings,
            format!(
                "holds `${{…}}`, which Flux fills in when it applies the file; take the Provider from the cluster with \
                 `kubectl get providers.notification.toolkit.fluxcd.io {name} -n {namespace} -o yaml`"
            ),
        );
        return None;
    }
    let address = without_user(text);
    if address != text {
        field.note(
            findings,
            "what stands before the host, up to `@`, is not carried over; Flux does not use it either",
        );
    }
    match Repository::parse(host, &address, false) {
        Ok(_) => Some((address, false)),
        Err(_) if Repository::parse(host, &address, true).is_ok() => {
            field.note(
                findings,
                "written with `insecure: true`, as it is `http://`: the credential crosses the network unprotected, now all \
                 the way from the service. Use https:// if the host has it",
            );
            Some((address, true))
        }
        Err(problem) => {
            field.mistake(findings, problem.to_string());
            None
        }
    }
}

/// Over HTTPS, what stands before the host may be a token.
fn without_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) if scheme.starts_with("http") => format!("{scheme}://{host}{path}"),
        _ => address.to_owned(),
    }
}

/// A name for the secret that Flux can do without.
fn invented_secret(fields: &Mapping<'_>, old: &OldProvider, findings: &mut Findings<'_>) -> LocalReference {
    let name = format!("{}-token", old.metadata.name);
    findings.note(
        fields.at,
        &format!("{}.secretRef", fields.path),
        format!(
            "missing, and required here, as there is no workload identity: written as `{name}`, to be created with a token \
             of its own"
        ),
    );
    LocalReference { name }
}

fn username(fields: &mut Mapping<'_>, host: HostKind, findings: &mut Findings<'_>) -> Option<Option<String>> {
    let Some(field) = fields.optional("username") else {
        return Some(None);
    };
    let text = field.string(findings)?;
    if host != HostKind::BitbucketServer {
        field.note(findings, "not carried over: only bitbucketserver uses it");
        return Some(None);
    }
    Some(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn timeout(fields: &mut Mapping<'_>, findings: &mut Findings<'_>) -> Option<Option<u32>> {
    let Some(field) = fields.optional("timeout") else {
        return Some(None);
    };
    let longest = *TIMEOUT_SECONDS.end();
    match whole_seconds(field.string(findings)?) {
        Some(seconds) if seconds > longest => {
            let text = format!(
                "written as {longest}s, the longest there is: it bounds one post here, and in Flux a post with all its \
                 repetitions, which are not bounded by it any more"
            );
            field.note(findings, text);
            Some(u32::try_from(longest).ok())
        }
        Some(seconds) if TIMEOUT_SECONDS.contains(&seconds) => Some(u32::try_from(seconds).ok()),
        Some(_) | None => {
            field.note(
                findings,
                "not carried over: no number of whole seconds; the host's own limit counts",
            );
            Some(None)
        }
    }
}

fn expression(
    fields: &mut Mapping<'_>,
    raw: &Raw<'_>,
    old: &OldProvider,
    wanted: &Wanted<'_>,
    findings: &mut Findings<'_>,
) -> Option<Option<String>> {
    let field = fields.optional("commitStatusExpr");
    let text = match &field {
        None => "",
        Some(field) => field.string(findings)?,
    };
    let given = field.filter(|_| !text.is_empty());
    let Some(field) = given else {
        if !wanted.keep_names {
            return Some(None);
        }
        if old.metadata.uid.is_none() {
            without_uid(
                raw,
                old,
                "the contexts of today have a part of it in them",
                findings,
            );
            return None;
        }
        return Some(Some(context::DEFAULT_EXPRESSION.to_owned()));
    };
    if let Err(mistake) = Expression::compile(text) {
        field.mistake(
            findings,
            format!(
                "no expression for a context here: {mistake}. Write one that gives the same, or remove it"
            ),
        );
        return None;
    }
    if text.contains(UID) && old.metadata.uid.is_none() {
        without_uid(raw, old, "`spec.commitStatusExpr` reads it", findings);
        return None;
    }
    doubts(&field, text, wanted, findings);
    Some(Some(text.to_owned()))
}

fn without_uid(raw: &Raw<'_>, old: &OldProvider, why: &str, findings: &mut Findings<'_>) {
    let (name, namespace) = (&old.metadata.name, &old.metadata.namespace);
    findings.mistake(
        raw.place_of("metadata"),
        &raw.path("metadata.uid"),
        format!(
            "missing, and {why}; take the Provider from the cluster with `kubectl get \
             providers.notification.toolkit.fluxcd.io {name} -n {namespace} -o yaml`"
        ),
    );
}

/// What compiles, and may give something else than in Flux.
fn doubts(field: &Field<'_>, text: &str, wanted: &Wanted<'_>, findings: &mut Findings<'_>) {
    if text.contains("annotations") {
        field.note(
            findings,
            "annotations of Provider and Alert are not kept here, so an expression that reads them fails; read labels",
        );
    }
    if text.contains(UID) && *wanted.scope == shared::Scope::AllClusters {
        field.note(
            findings,
            "reads the UID, which is that of one cluster's Provider and is the same for all clusters here; import each cluster \
             with --cluster, or name `cluster` in its place",
        );
    }
}

/// Fields of Flux that nothing here corresponds to.
fn without_place(fields: &mut Mapping<'_>, findings: &mut Findings<'_>) {
    const FIELDS: [(&str, &str); 4] = [
        ("channel", "not carried over: a commit status has no channel"),
        ("interval", "not carried over: nothing is polled"),
        (
            "serviceAccountName",
            "not carried over: there is no workload identity here; a token in the secret takes its place",
        ),
        (
            "proxy",
            "not carried over: it may hold a password, and posts come from the service and no longer from the cluster. If they \
             need a proxy, put its address into the key `address` of a secret with `commitstatus secret set`, and name that \
             in `proxySecretRef`",
        ),
    ];
    for (name, note) in FIELDS {
        fields.ignored(name, findings, note);
    }
}
