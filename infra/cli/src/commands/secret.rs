//! `secret set`: what a Provider's `secretRef` stands for.

mod asked;
mod held;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use hosts::{Certificates, HostKind, Proxy};
use jiff::Timestamp;
use secrecy::SecretString;
use shared::ErrorChain;
use shared::item::secret_name;

use super::Terminal;
use super::scope::{ScopeArgs, dns_label};
use crate::names::check_subdomain;
use crate::object::describe_scope;
use crate::secrets::{SecretStore, provider_secret_name};
use crate::store::Store;
use crate::yaml::nearest_of;

/// Keys of the secrets a Provider can name, as in Flux: of `secretRef`, of `certSecretRef`, and of `proxySecretRef`.
pub(crate) const KEYS: [&str; 15] = [
    TOKEN,
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

/// What every host takes.
const TOKEN: &str = "token";

/// Where a proxy is.
pub(crate) const ADDRESS: &str = "address";

/// Keys that Flux's Git providers read besides, and why they would change nothing here.
pub(crate) const REFUSED_KEYS: [(&str, &str); 2] = [
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
                            commitstatus secret set gitlab -n apps --cluster dev --from-file token=t.txt\n  \
                            commitstatus secret set ca -n apps --cluster dev --from-file ca.crt=ca.pem"
    )]
    Set(SetArgs),
}

/// Arguments of `secret set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the secret, as in the Provider's `secretRef`; or provider/NAME for the one that Provider names there
    #[arg(value_name = "NAME", value_parser = secret_ref)]
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
    /// Read the value of a key from a file, but for line feeds at its end; may be repeated
    #[arg(long, value_name = "KEY=PATH")]
    pub from_file: Vec<String>,
    /// Read the value of this key from standard input, but for line feeds at its end
    #[arg(long, value_name = "KEY")]
    pub from_stdin: Option<String>,
    /// Do not ask the Git host whether its Providers may post with it
    #[arg(long)]
    pub no_check: bool,
    /// Refused: see [`WHY_NO_LITERAL`].
    #[arg(long, hide = true, num_args = 0..)]
    pub from_literal: Option<Vec<SecretString>>,
}

/// What stands before the name of a Provider.
const PROVIDER: &str = "provider/";

fn secret_ref(text: &str) -> Result<String, String> {
    check_subdomain(text.strip_prefix(PROVIDER).unwrap_or(text)).map(|()| text.to_owned())
}

/// What `secret` works with.
pub struct Context<'a, S> {
    /// The tables.
    pub store: &'a Store,
    /// The secrets.
    pub secrets: &'a S,
    /// Name of the stack.
    pub stack: &'a str,
    /// Whether Git hosts are asked.
    pub asks_hosts: bool,
}

/// Writes a Provider's secret, lets what was refused with the one before be tried again, and asks the Git host what it
/// thinks of it.
///
/// # Errors
/// If a value cannot be read, or the secret cannot be written.
pub async fn run(
    command: &SecretCommand,
    context: &Context<'_, impl SecretStore>,
    now: Timestamp,
    prompt: Prompt<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let SecretCommand::Set(args) = command;
    let Context {
        store,
        secrets,
        stack,
        asks_hosts,
    } = *context;
    let scope = args.scope.scope();
    let secret = match args.name.strip_prefix(PROVIDER) {
        Some(provider) => asked::secret_of(store, &scope, &args.namespace, provider).await?,
        None => args.name.clone(),
    };
    // The secret is written also where the table does not answer.
    let providers = asked::providers(store, &scope, &args.namespace, &secret).await;
    let is_credential = providers.as_ref().is_ok_and(|providers| {
        providers
            .iter()
            .any(|provider| provider.spec.secret_ref.name == secret)
    });
    let values = read(args, is_credential, prompt, terminal)?;
    let name = provider_secret_name(stack, &scope, &args.namespace, &secret);
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
        &secret_name(&scope, &args.namespace, &secret),
        store,
        now,
        terminal,
    )
    .await?;
    let providers = match providers {
        Ok(providers) => providers,
        Err(error) => {
            return Ok(terminal.warn(format!(
                "which Providers it is for cannot be looked up, so no Git host was asked: {}; `commitstatus check` does it later",
                ErrorChain(&error)
            ))?);
        }
    };
    if providers.is_empty() {
        return Ok(terminal.hint(format!(
            "no Provider of {} in namespace {} names it yet; `commitstatus check` asks the Git host once one does",
            describe_scope(&scope),
            args.namespace
        ))?);
    }
    if asks_hosts && !args.no_check {
        asked::ask(&providers, &scope, secrets, stack, now, terminal).await?;
    }
    Ok(())
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

/// `is_credential`: a Provider lets itself in with it, so that what to ask for is known.
fn read(
    args: &SetArgs,
    is_credential: bool,
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
    let none_said = args.key.is_empty() && args.from_file.is_empty() && args.from_stdin.is_none();
    let usual = [TOKEN.to_owned()];
    let keys: &[String] = match none_said && is_credential && terminal.input_is_terminal {
        true => &usual,
        false => &args.key,
    };
    for key in keys {
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
