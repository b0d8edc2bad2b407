//! `diff`: what `apply` would change.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use shared::Scope;
use similar::{ChangeTag, TextDiff};

use super::apply::{PruneArgs, prune};
use super::scope::ScopeArgs;
use super::{FileArgs, Terminal, style, validate};
use crate::object::{Object, ObjectId, describe_scope};
use crate::store::{Store, Verb};

/// As kubectl's: nothing would change.
const SAME: u8 = 0;
/// As kubectl's: something would.
const DIFFERENT: u8 = 1;
/// As kubectl's: there is no telling.
pub const FAILED: u8 = 2;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// What would be applied.
    #[command(flatten)]
    pub files: FileArgs,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
    /// What else would go.
    #[command(flatten)]
    pub prune: PruneArgs,
}

/// Prints what applying the files would change, and returns what the process exits with.
///
/// # Errors
/// All mistakes at once, or what kept the store from answering.
pub async fn run(
    args: &DiffArgs,
    store: &Store,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let selector = args.prune.selector()?;
    let validated = validate::read(&args.files, terminal)?;
    if let Some(selector) = selector {
        selector.check(&validated.documents)?;
    }
    let places: BTreeMap<ObjectId, String> = validated
        .documents
        .iter()
        .map(|document| {
            let place = document.position.to_string();
            (document.object.id(), place.replace(char::is_control, " "))
        })
        .collect();
    let objects: Vec<Object> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    let scope = args.scope.scope();
    let is_for = describe_scope(&scope);

    let mut code = SAME;
    for planned in store.prepare(&scope, &objects, now).await?.objects {
        if planned.verb == Verb::Unchanged {
            continue;
        }
        code = DIFFERENT;
        let id = planned.object.id();
        let applied = match planned.before {
            Some(_) => format!("{id}, applied for {is_for}"),
            None => format!("{id}, not applied for {is_for}"),
        };
        let file = places.get(&id).map_or("", String::as_str);
        let texts = (
            manifest(planned.before.as_ref(), &scope)?,
            manifest(Some(&planned.object), &scope)?,
        );
        if texts.0 == texts.1 {
            terminal.hint(format!(
                "{id} is as in {file}, but not all of its copies are, as an `apply` was interrupted; the next one \
                 finishes it"
            ))?;
        }
        print(&texts, &applied, file, terminal)?;
    }
    if let Some(selector) = selector {
        let stale = prune::find(&scope, selector, &objects, store).await?;
        stale.warn(terminal)?;
        for (seen, object) in &stale.gone {
            code = DIFFERENT;
            let applied = format!("{}, applied for {is_for}", seen.id());
            let texts = (manifest(Some(object), &scope)?, String::new());
            print(&texts, &applied, "in no file, so it is pruned", terminal)?;
        }
    }
    Ok(code)
}

/// As `get -o yaml` prints it.
fn manifest(object: Option<&Object>, scope: &Scope) -> anyhow::Result<String> {
    Ok(match object {
        Some(object) => serde_saphyr::to_string(&object.to_manifest(scope)?)?,
        None => String::new(),
    })
}

fn print(
    (old, new): &(String, String),
    applied: &str,
    file: &str,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    for (at, hunk) in diff.unified_diff().iter_hunks().enumerate() {
        if at == 0 {
            for line in [format!("--- {applied}"), format!("+++ {file}")] {
                let line = terminal.paint(style::STRONG, line);
                writeln!(terminal.out, "{line}")?;
            }
        }
        writeln!(terminal.out, "{}", hunk.header())?;
        for change in hunk.iter_changes() {
            let line = format!("{}{}", change.tag(), change.value().trim_end_matches('\n'));
            let line = match change.tag() {
                ChangeTag::Equal => line,
                ChangeTag::Insert => terminal.paint(style::GOOD, line),
                ChangeTag::Delete => terminal.paint(style::BAD, line),
            };
            writeln!(terminal.out, "{line}")?;
        }
    }
    Ok(())
}
