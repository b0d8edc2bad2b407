//! `secret set`: what a Provider's `secretRef` stands for.

mod held;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use hosts::{Certificates, HostKind, Proxy};
use jiff::Timestamp;
use secrecy::SecretString;
use shared::item::secret_name;

use super::Terminal;
use super::scope::{ScopeArgs, dns_label};
use crate::names::check_subdomain;
use crate::object::describe_scope;
use crate::secrets::{SecretStore, provider_secret_name};
use crate::store::Store;
use crate::yaml::nearest_of;

/// Keys of the secrets a Provider can name, as in Flux: of `secretRef`, of `certSecretRef`, and of `proxySecretRef`.
const KEYS: [&str; 15] = [
    "token",
    "username",
    "password",
    "githubAppID",
    "githubAppPrivateKey",
    "githubAppInstallationID",
    "githubAppInstallationOwner",
    "githubAppBaseURL",
    "ca.crt",
    "tls.crt",
    "tls.key",
    "caFile",
    "certFile",
    "keyFile",
    ADDRESS,
];

/// Where a proxy is.
const ADDRESS: &str = "address";

/// Keys that Flux's Git providers read besides, and why they would change nothing here.
const REFUSED_KEYS: [(&str, &str); 2] = [
    (
        "headers",
        "no other headers are sent to a Git host than those its API asks for",
    ),
    (
        "proxy",
        "put the address of a proxy into the key `address` of a secret of its own, and name that in `proxySecretRef`",
    ),
];

/// Why `--from-literal` is refused; the value that came with it is not repeated.
pub const WHY_NO_LITERAL: &str = "a value in an argument stays in the shell's history and shows in the list of \
    processes; use --key KEY to be asked for it, --from-file KEY=PATH or --from-stdin KEY";

/// Asks for a value without showing what is typed.
pub type Prompt<'a> = &'a mut dyn FnMut(&str) -> io::Result<String>;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Write a secret a Provider names in `secretRef`, `certSecretRef` or `proxySecretRef`; a secret that exists is replaced as a whole
    #[command(
        after_help = "Examples:\n  commitstatus secret set github-token -n flux-system --all-clusters --key token\n  \
                            commitstatus secret set gitlab-token -n apps --cluster dev --from-file token=token.txt\n  \
                            commitstatus secret set acme-ca -n apps --cluster dev --from-file ca.crt=ca.pem"
    )]
    Set(SetArgs),
}

/// Arguments of `secret set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the secret, as in the Provider's `secretRef`
    #[arg(value_parser = secret_ref)]
    pub name: String,
    /// Namespace of the Provider
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: String,
    /// Of which clusters the Provider is.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// Ask for the value of this key without showing it; may be repeated
    #[arg(long, value_name = "KEY")]
    pub key: Vec<String>,
    /// Read the value of a key from a file, without line ends at its end; may be repeated
    #[arg(long, value_name = "KEY=PATH")]
    pub from_file: Vec<String>,
    /// Read the value of this key from standard input, without line ends at its end
    #[arg(long, value_name = "KEY")]
    pub from_stdin: Option<String>,
    /// Refused: see [`WHY_NO_LITERAL`].
    #[arg(long, hide = true, num_args = 0..)]
    pub from_literal: Option<Vec<SecretString>>,
}

fn secret_ref(text: &str) -> Result<String, String> {
    check_subdomain(text).map(|()| text.to_owned())
}

/// Writes a Provider's secret, and lets what was refused with the one before be tried again.
///
/// # Errors
/// If a value cannot be read, or the secret cannot be written.
pub async fn run(
    command: &SecretCommand,
    store: &Store,
    secrets: &impl SecretStore,
    stack: &str,
    now: Timestamp,
    prompt: Prompt<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let SecretCommand::Set(args) = command;
    let values = read(args, prompt, terminal)?;
    let scope = args.scope.scope();
    let name = provider_secret_name(stack, &scope, &args.namespace, &args.name);
    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
    let summary = format!(
        "{name} set ({}; keys {})",
        describe_scope(&scope),
        keys.join(", ")
    );
    let json = SecretString::from(serde_json::to_string(&values)?);
    check(&values, &json)?;
    secrets.put(&name, &json).await?;
    writeln!(terminal.out, "secret/{summary}")?;
    held::release(
        &secret_name(&scope, &args.namespace, &args.name),
        store,
        now,
        terminal,
    )
    .await
}

/// Looks at what can be wrong whatever Provider it is for.
fn check(values: &BTreeMap<String, String>, json: &SecretString) -> anyhow::Result<()> {
    let has = |begin: &str| values.keys().any(|key| key.starts_with(begin));
    let has_credential = has("token") || has("githubApp");
    if has(ADDRESS) && has_credential {
        bail!(
            "`address` is the key of a proxy's secret; the address of a repository is not read from the secret but from \
             `spec.address` of the Provider. Nothing was written"
        );
    }
    if has(ADDRESS) {
        Proxy::from_secret(json).context("nothing was written")?;
    }
    if has("githubApp") && !has("token") {
        HostKind::GitHub
            .access(json, None)
            .context("nothing was written")?;
    }
    Certificates::beside_credential(json).context("nothing was written")?;
    Ok(())
}

fn read(
    args: &SetArgs,
    prompt: Prompt<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<BTreeMap<String, String>> {
    if args.from_literal.is_some() {
        bail!(WHY_NO_LITERAL);
    }
    let mut values = BTreeMap::new();
    let mut add = |key: &str, value: String| {
        if key.contains('=') {
            // What follows is likely the value.
            bail!("a key holds no `=`; {WHY_NO_LITERAL}");
        }
        if let Some((_, why)) = REFUSED_KEYS.iter().find(|(refused, _)| *refused == key) {
            bail!("`{key}` is not read here: {why}");
        }
        if !KEYS.contains(&key) {
            bail!(
                "`{key}` is no key of a Provider's secret; {}",
                nearest_of(key, &KEYS)
            );
        }
        let value = value.trim_end_matches(['\r', '\n']).to_owned();
        if value.is_empty() {
            bail!("the value of `{key}` is empty; nothing was written, give it again");
        }
        if values.insert(key.to_owned(), value).is_some() {
            bail!("`{key}` is given twice; leave out one of them");
        }
        Ok(())
    };
    for key_and_path in &args.from_file {
        let Some((key, path)) = key_and_path.split_once('=') else {
            bail!("--from-file takes KEY=PATH; write for example --from-file token=./token.txt");
        };
        let path = PathBuf::from(path);
        let value = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`; check the path after {key}=", path.display()))?;
        add(key, value)?;
    }
    if let Some(key) = &args.from_stdin {
        let mut value = String::new();
        terminal
            .input
            .read_to_string(&mut value)
            .context("cannot read standard input; it must be text")?;
        add(key, value)?;
    }
    for key in &args.key {
        if !terminal.input_is_terminal {
            bail!("--key asks on a terminal, and standard input is none; use --from-stdin {key}");
        }
        add(
            key,
            prompt(&format!("{key}: ")).context("cannot read from the terminal")?,
        )?;
    }
    if values.is_empty() {
        bail!("no values; use --key token to be asked for it, --from-file token=PATH or --from-stdin token");
    }
    Ok(values)
}
