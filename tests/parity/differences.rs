//! What is not as in notification-controller, from `differences.yaml`: every entry must be needed, and nothing else may
//! differ.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use shared::CommitSha;

use crate::data::{Case, is_like};

/// One point in which a case comes out otherwise.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// `outcome`, `url`, `body.state`, …
    pub(crate) field: String,
    /// What notification-controller has there.
    pub(crate) upstream: String,
    /// What is there here.
    pub(crate) ours: String,
}

impl Deviation {
    pub(crate) fn new(field: &str, upstream: impl Into<String>, ours: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            upstream: upstream.into(),
            ours: ours.into(),
        }
    }
}

/// `differences.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    errors: Vec<ErrorClass>,
    not_applicable: Vec<NotApplicable>,
    differences: Vec<Difference>,
}

/// What stands here for an error of upstream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorClass {
    /// Part of upstream's text.
    upstream: String,
    /// Any of these is the same thing.
    ours: Vec<String>,
    #[serde(skip)]
    used: Cell<bool>,
}

/// Cases that have nothing to do with this service, beyond those whose data says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NotApplicable {
    reason: String,
    list: String,
    cases: Vec<Pattern>,
}

/// Something that is not as in notification-controller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) id: String,
    reason: String,
    /// Where users read of it.
    doc: Option<String>,
    /// Not intended.
    #[serde(default)]
    bug: bool,
    applies: Vec<Place>,
}

/// Where it shows. Each of its patterns must be needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    lists: Vec<Pattern>,
    fields: Vec<Pattern>,
    /// What is there here; `*` stands for anything, and what is in braces for what [`filled`] says.
    ours: String,
    /// All of the lists, if none are named.
    #[serde(default)]
    cases: Vec<Pattern>,
    #[serde(skip)]
    used: Cell<bool>,
}

/// A name; `*` stands for anything.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Pattern {
    text: String,
    used: Cell<bool>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self {
            text,
            used: Cell::new(false),
        }
    }
}

fn find<'a>(patterns: &'a [Pattern], text: &str) -> Option<&'a Pattern> {
    patterns.iter().find(|pattern| is_like(&pattern.text, text))
}

fn unused(patterns: &[Pattern]) -> impl Iterator<Item = &str> {
    let unused = patterns.iter().filter(|pattern| !pattern.used.get());
    unused.map(|pattern| pattern.text.as_str())
}

impl Place {
    fn takes(&self, case: &Case, deviation: &Deviation) -> bool {
        let (Some(list), Some(field)) = (
            find(&self.lists, &case.list),
            find(&self.fields, &deviation.field),
        ) else {
            return false;
        };
        let named = find(&self.cases, &case.test);
        if named.is_none() && !self.cases.is_empty()
            || !is_like(&filled(&self.ours, case, &deviation.upstream), &deviation.ours)
        {
            return false;
        }
        for pattern in [Some(list), Some(field), named].into_iter().flatten() {
            pattern.used.set(true);
        }
        self.used.set(true);
        true
    }
}

/// With what upstream has in the same place (`{upstream}`), the `{status_id}` and `{sha}` of the case, and the `{page}` of
/// the commit at a Bitbucket Server.
fn filled(text: &str, case: &Case, upstream: &str) -> String {
    let url = case.text("upstream.url").unwrap_or_default();
    let sha = url
        .split('/')
        .find(|part| part.len() == CommitSha::DIGITS)
        .unwrap_or_default();
    let page = url.replace("/rest/api/latest", "");
    text.replace("{upstream}", upstream)
        .replace("{status_id}", case.text("status_id").unwrap_or_default())
        .replace("{sha}", sha)
        .replace("{page}", page.strip_suffix("/builds").unwrap_or_default())
}

impl Known {
    pub(crate) fn read() -> Self {
        serde_saphyr::from_str(include_str!("differences.yaml")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is the same here as an error of upstream.
    pub(crate) fn class(&self, error: &str) -> Option<&[String]> {
        let class = self.errors.iter().find(|class| error.contains(&class.upstream))?;
        class.used.set(true);
        Some(&class.ours)
    }

    /// Why a case can not apply, if its data does not say it.
    pub(crate) fn not_applicable(&self, case: &Case) -> Option<&str> {
        self.not_applicable.iter().find_map(|entry| {
            if entry.list != case.list {
                return None;
            }
            let pattern = find(&entry.cases, &case.test)?;
            pattern.used.set(true);
            Some(entry.reason.as_str())
        })
    }

    /// The difference that explains a deviation.
    pub(crate) fn explain(&self, case: &Case, deviation: &Deviation) -> Option<&Difference> {
        self.differences.iter().find(|difference| {
            difference
                .applies
                .iter()
                .any(|place| place.takes(case, deviation))
        })
    }

    /// Whether a difference is not intended.
    pub(crate) fn is_bug(&self, id: &str) -> bool {
        self.differences
            .iter()
            .any(|difference| difference.bug && difference.id == id)
    }

    /// What is listed and not needed, or not as it should be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for class in self.errors.iter().filter(|class| !class.used.get()) {
            faults.push(format!("no case has the error `{}`", class.upstream));
        }
        for entry in &self.not_applicable {
            if entry.reason.trim().is_empty() {
                faults.push(format!("{}: not applicable without a reason", entry.list));
            }
            let list = &entry.list;
            faults.extend(
                unused(&entry.cases).map(|case| format!("not_applicable: no case `{case}` of {list}")),
            );
        }
        for difference in &self.differences {
            let id = &difference.id;
            let same = self.differences.iter().filter(|other| other.id == *id).count();
            if same > 1 {
                faults.push(format!("{id}: listed {same} times"));
            }
            if difference.reason.trim().is_empty() {
                faults.push(format!("{id}: without a reason"));
            }
            if let Some(doc) = difference.doc.as_deref().filter(|doc| !is_there(doc)) {
                faults.push(format!("{id}: there is no {doc}"));
            }
            for place in &difference.applies {
                let ours = &place.ours;
                if !place.used.get() {
                    faults.push(format!("{id}: no case needs `{ours}`"));
                }
                let patterns = [&place.lists, &place.fields, &place.cases];
                let unused = patterns.into_iter().flat_map(|patterns| unused(patterns));
                faults.extend(unused.map(|text| format!("{id}: `{ours}` is not needed for `{text}`")));
            }
        }
        faults
    }
}

/// Whether there is a file of that path, with a heading of that anchor.
fn is_there(doc: &str) -> bool {
    let (path, anchor) = doc.split_once('#').unwrap_or((doc, ""));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(text) = fs::read_to_string(root.join(path)) else {
        return false;
    };
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let mut anchors = headings.map(|line| {
        let words = line
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .replace(' ', "-");
        words.replace(|c: char| !c.is_alphanumeric() && c != '-', "")
    });
    anchor.is_empty() || anchors.any(|heading| heading == anchor)
}
