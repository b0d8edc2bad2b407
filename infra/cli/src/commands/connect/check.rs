//! `connect --check`: whether what a cluster has sends what its rules need.

use std::io::Read;
use std::path::Path;

use anyhow::Context as _;

use super::{FLUX_NAMESPACE, effective_rules};
use crate::commands::{Terminal, style};
use crate::connect::check::{Finding, KUBECTL, Level, Needed, Report, check};
use crate::connect::needed;
use crate::store::{Cluster, Store};
use crate::yaml::Source;

/// Prints what was found, and what mends it.
///
/// # Errors
/// If the file or the rules cannot be read.
pub(super) async fn run(
    file: &Path,
    cluster: &Cluster,
    function_url: Option<&str>,
    store: &Store,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    let source = read(file, terminal.input)?;
    let rules = effective_rules(store, &cluster.name).await?;
    let watched = needed(&rules);
    let needed = Needed {
        cluster: &cluster.name,
        generation: cluster.generation,
        function_url,
        watched: &watched,
    };
    let mut report = check(&[source], &needed)?;
    if cluster.suspended {
        report.findings.push(Finding {
            level: Level::Missing,
            position: None,
            subject: String::new(),
            text: format!(
                "cluster \"{0}\" is suspended here, so its events are dropped; `commitstatus cluster resume {0}` takes \
                 them again",
                cluster.name
            ),
            is_mended_by_connect: false,
        });
    }
    print(&report, cluster, function_url, terminal)
}

fn print(
    report: &Report,
    cluster: &Cluster,
    function_url: Option<&str>,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<u8> {
    for finding in &report.findings {
        let style = match finding.level {
            Level::Ok => style::GOOD,
            Level::Warning => style::DOUBTFUL,
            Level::Missing => style::BAD,
        };
        // Padded before it is painted: the codes of a colour have a length, too.
        let level = terminal.paint(style, format!("{:<8}", finding.level.as_str()));
        writeln!(terminal.out, "{level} {finding}")?;
    }
    if function_url.is_none() {
        terminal.hint(
            "the function URL is not known, so only the path of addresses was compared; --url or COMMITSTATUS_URL \
             says it",
        )?;
    }
    let is_well = |finding: &Finding| finding.level == Level::Ok;
    if report.findings.iter().all(is_well) {
        terminal.hint(format!("cluster \"{}\" sends what its rules need", cluster.name))?;
        return Ok(0);
    }
    let (by_connect, by_hand): (Vec<&Finding>, Vec<&Finding>) = report
        .findings
        .iter()
        .filter(|finding| !is_well(finding))
        .partition(|finding| finding.is_mended_by_connect);
    let command = mend(report, cluster);
    terminal.hint(match (by_connect.is_empty(), by_hand.is_empty()) {
        (false, true) => format!("`{command}` mends it"),
        (false, false) => {
            format!("`{command}` mends what is not said to need something else; do that where a line says it")
        }
        (true, _) => "do what the lines say; `commitstatus connect` would not change that".to_owned(),
    })?;
    Ok(1)
}

fn read(file: &Path, stdin: &mut dyn Read) -> anyhow::Result<Source> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        stdin
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read standard input; pipe what `{KUBECTL}` prints into it"))?;
        let name = "stdin".into();
        return Ok(Source { name, text });
    }
    let name = file.display().to_string().replace(char::is_control, " ");
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read `{name}`; check the path given with --check, or say `--check -` for standard input"
        )
    })?;
    Ok(Source { name, text })
}

/// Puts the objects where they are.
fn mend(report: &Report, cluster: &Cluster) -> String {
    let mut command = format!("commitstatus connect {}", cluster.name);
    let namespaces = &report.namespaces;
    if namespaces.iter().any(|namespace| namespace != FLUX_NAMESPACE) {
        for namespace in namespaces {
            command.push_str(&format!(" -n {namespace}"));
        }
    }
    if namespaces.len() > 1 {
        command.push_str(" --per-namespace");
    }
    command.push_str(" | kubectl apply -f -");
    command
}
