//! `secret set`: what a Provider's `secretRef` stands for.

mod held;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
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

/// Keys of a secret that this release reads.
const KEYS: [&str; 3] = ["token", "username", "password"];

/// Keys that Flux's Git providers read besides. Written, they would change nothing, and nobody would say so.
const FLUX_KEYS: [&str; 11] = [
    "address",
    "headers",
    "proxy",
    "ca.crt",
    "tls.crt",
    "tls.key",
    "githubAppID",
    "githubAppInstallationID",
    "githubAppInstallationOwner",
    "githubAppPrivateKey",
    "githubAppBaseURL",
];

/// Why `--from-literal` is refused; the value that came with it is not repeated.
pub const WHY_NO_LITERAL: &str = "a value in an argument stays in the shell's history and shows in the list of \
    processes; use --key KEY to be asked for it, --from-file KEY=PATH or --from-stdin KEY";

/// Asks for a value without showing what is typed.
pub type Prompt<'a> = &'a mut dyn FnMut(&str) -> io::Result<String>;

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Write the secret a Provider names in `secretRef`; a secret that exists is replaced as a whole
    #[command(
        after_help = "Examples:\n  commitstatus secret set github-token -n flux-system --all-clusters --key token\n  \
                            commitstatus secret set gitlab-token -n apps --cluster dev --from-file token=token.txt"
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
        if FLUX_KEYS.contains(&key) {
            bail!(
                "`{key}` is not read by this release yet; it reads {}",
                KEYS.join(", ")
            );
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
