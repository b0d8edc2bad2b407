//! An event as Flux posts it, from a file.

use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use shared::EventMessage;
use shared::message::event_id;

use crate::commands::Terminal;

/// Longest body the service takes.
const MAX_BYTES: u64 = intake::handler::MAX_BODY_BYTES as u64;
/// Of the first key of a cluster.
const FIRST_GENERATION: u32 = 1;

/// Reads the event as intake does.
pub(super) fn read(
    path: Option<&Path>,
    cluster: &str,
    now: Timestamp,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<EventMessage> {
    use std::io::Read as _;

    let path = path.unwrap_or(Path::new("-"));
    let name = match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => format!("`{}`", path.display()),
    };
    let mut body = Vec::new();
    let read = if path.as_os_str() == "-" {
        terminal.input.take(MAX_BYTES + 1).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut body))
    };
    read.with_context(|| format!("cannot read the event from {name}; check --event"))?;
    if body.len() > intake::handler::MAX_BODY_BYTES {
        bail!(
            "the event in {name} is longer than the {} KiB the service takes; it would be answered 413",
            MAX_BYTES / 1024
        );
    }
    let event = intake::event::parse(&body).with_context(|| {
        format!("{name} is not the body of an event as Flux posts it, and would be answered 400")
    })?;
    Ok(EventMessage {
        id: event_id(cluster, FIRST_GENERATION, &body),
        cluster: cluster.to_owned(),
        generation: FIRST_GENERATION,
        previous_root_key: false,
        received_at: now,
        event,
    })
}
