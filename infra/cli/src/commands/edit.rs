//! `edit`: an applied object in the operator's own editor.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use shared::Scope;
use shared::kinds::ObjectName;
use tempfile::TempPath;

use super::Terminal;
use super::apply::{flag, follow_up};
use super::delete::KindArg;
use super::scope::{ScopeArgs, dns_label};
use crate::names::check_subdomain;
use crate::object::{Kind, Object, ObjectId, describe_scope};
use crate::store::{Store, StoreError, Verb};
use crate::yaml::{Source, validate};

/// Lets the operator edit a file; whether the editor ended well.
pub type Editor<'a> = &'a mut dyn FnMut(&Path) -> io::Result<bool>;

/// Arguments of `edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Kind of the object
    pub kind: KindArg,
    /// Name of the object
    #[arg(value_parser = subdomain)]
    pub name: String,
    /// Namespace of the object
    #[arg(short, long, value_parser = dns_label)]
    pub namespace: String,
    /// For which clusters.
    #[command(flatten)]
    pub scope: ScopeArgs,
}

/// Lets the operator edit an object, and applies it over the one that was read.
///
/// # Errors
/// If it is not there, what was written is not right, or somebody else changed it meanwhile. What was written is kept.
pub async fn run(
    args: &EditArgs,
    store: &Store,
    now: Timestamp,
    editor: Editor<'_>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let scope = args.scope.scope();
    let id = ObjectId {
        kind: args.kind.into(),
        name: ObjectName::new(&args.namespace, &args.name),
    };
    let seen = store.see(&scope, &id).await?;
    let Some(before) = store.seen_object(&seen)? else {
        let plural = match id.kind {
            Kind::CommitStatus => "commitstatuses",
            Kind::Provider => "providers",
        };
        bail!(
            "no {id} for {}; `commitstatus get {plural}` lists those of every cluster",
            describe_scope(&scope)
        );
    };

    let text = text(&before, &scope)?;
    let draft = Draft::new(&text).context("no file to edit can be written; check TMPDIR")?;
    let ended_well = editor(&draft.path).context(
        "the editor could not be run, so nothing was changed; name one that can in EDITOR, such as `EDITOR=nano`",
    )?;
    let edited = match fs::read(&draft.path) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Err(anyhow!(error)
                .context("what was edited cannot be read, so nothing was changed; edit it again"));
        }
    };
    if edited == text.as_bytes() || is_empty(&edited) {
        if !ended_well {
            bail!("the editor ended with an error; nothing was changed");
        }
        return Ok(terminal.hint("edit cancelled, no changes made")?);
    }
    if !ended_well {
        return Err(draft.keep(&scope, "the editor ended with an error, so nothing was changed"));
    }
    let Ok(edited) = String::from_utf8(edited) else {
        return Err(draft.keep(&scope, "what was edited is not UTF-8, so nothing was changed"));
    };

    let source = Source {
        name: draft.shown(),
        text: edited,
    };
    let validated = match validate(&[source], None) {
        Ok(validated) => validated,
        Err(mistakes) => {
            terminal.notes(&mistakes.notes)?;
            let count = match mistakes.mistakes.len() {
                1 => "1 mistake".to_owned(),
                several => format!("{several} mistakes"),
            };
            let kept = draft.keep(
                &scope,
                &format!("{count} in what was edited, so nothing was changed"),
            );
            return Err(anyhow!("{kept}\n{mistakes}"));
        }
    };
    terminal.notes(&validated.notes)?;
    let objects: Vec<Object> = validated
        .documents
        .into_iter()
        .map(|document| document.object)
        .collect();
    let [object] = objects.as_slice() else {
        let what = format!(
            "{} objects where {id} alone was to be edited, so nothing was changed",
            objects.len()
        );
        return Err(draft.keep(&scope, &what));
    };
    if object.id() != id {
        let what = format!(
            "{} where {id} was to be edited, so nothing was changed: kind, namespace and name stay as they are",
            object.id()
        );
        return Err(draft.keep(&scope, &what));
    }

    let prepared = store.prepare_over(&seen, object, now)?;
    if prepared
        .objects
        .iter()
        .all(|planned| planned.verb == Verb::Unchanged)
    {
        return Ok(terminal.hint("edit cancelled, no changes made")?);
    }
    let written = match store.commit(prepared, &mut || ()).await {
        Ok(written) => written,
        Err(error) => {
            let kept = match error {
                StoreError::Conflict { .. } => draft.keep_beside(&scope, "nothing was changed"),
                _ => draft.keep(&scope, "not all of the edit was written"),
            };
            return Err(anyhow!(error).context(kept.to_string()));
        }
    };
    terminal.became(&id, "edited", &scope)?;
    follow_up(&scope, &objects, &written.changes, store, now, terminal).await
}

fn subdomain(text: &str) -> Result<String, String> {
    check_subdomain(text).map(|()| text.to_owned())
}

/// What the operator gets to see.
fn text(object: &Object, scope: &Scope) -> anyhow::Result<String> {
    Ok(format!(
        "# {}, applied for {}. Edit it, save it and leave the editor, and it is applied.\n\
         # Lines that begin with a '#' are ignored. Saved as it is, or empty, it changes nothing.\n\
         #\n{}",
        object.id(),
        describe_scope(scope),
        serde_saphyr::to_string(&object.to_manifest(scope)?)?
    ))
}

/// Nothing but comments.
fn is_empty(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').all(|line| {
        let line = line.trim_ascii();
        line.is_empty() || line.starts_with(b"#")
    })
}

/// The file that is edited. Only its owner can read it, and it goes when it is dropped.
struct Draft {
    path: TempPath,
}

impl Draft {
    fn new(text: &str) -> io::Result<Self> {
        let named = tempfile::Builder::new()
            .prefix("commitstatus-")
            .suffix(".yaml")
            .tempfile();
        let mut file = named?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
        // Editors put another file in its place: only the path counts.
        Ok(Self {
            path: file.into_temp_path(),
        })
    }

    fn shown(&self) -> String {
        self.path.display().to_string().replace(char::is_control, " ")
    }

    /// Nobody writes the same twice.
    fn keep(self, scope: &Scope, what: &str) -> anyhow::Error {
        let next = format!(
            "correct it there, and `commitstatus apply -f FILE {}` applies it",
            flag(scope)
        );
        self.keep_for(what, &next)
    }

    /// Applied as it is, it would undo what the other one did.
    fn keep_beside(self, scope: &Scope, what: &str) -> anyhow::Error {
        let next = format!(
            "`commitstatus diff -f FILE {}` shows what differs; edit it again, or take over there what the other one did",
            flag(scope)
        );
        self.keep_for(what, &next)
    }

    fn keep_for(self, what: &str, next: &str) -> anyhow::Error {
        let shown = self.shown();
        match self.path.keep() {
            Ok(_) => anyhow!(
                "{what}; your text is kept in {shown}: {}",
                next.replace("FILE", &shown)
            ),
            Err(error) => anyhow!(error).context(format!(
                "{what}, and your text cannot be kept in {shown}; edit it again"
            )),
        }
    }
}
