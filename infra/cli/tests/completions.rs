//! Completions and manual pages, which are made without a stack.

#![expect(clippy::unwrap_used, reason = "what surrounds a test fails with it")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use cli::app::Cli;

/// In an empty environment: there is neither a home nor any configuration of AWS.
fn commitstatus(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_commitstatus"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    assert_eq!(said, "");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of all commands below this one, each with those above it.
fn commands(command: &clap::Command, above: &str) -> Vec<String> {
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set() && below.get_name() != "help");
    below
        .flat_map(|below| {
            let name = format!("{above}-{}", below.get_name());
            let mut names = commands(below, &name);
            names.push(name);
            names
        })
        .collect()
}

fn all_commands() -> Vec<String> {
    let names = commands(&Cli::command(), "commitstatus");
    assert!(
        names.contains(&"commitstatus-cluster-add".to_owned()),
        "{names:?}"
    );
    names
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = commitstatus(&["completions", shell]);
        for name in all_commands() {
            let last = name.rsplit_once("commitstatus-").unwrap().1;
            for word in last.split('-').filter(|word| word.len() > 1) {
                assert!(script.contains(word), "{shell} does not know {name}");
            }
        }
        for option in ["output-dir", "data-dir", "finish"] {
            assert!(script.contains(option), "{shell} does not know --{option}");
        }
    }
    let wrong = Command::new(env!("CARGO_BIN_EXE_commitstatus"))
        .args(["completions", "tcsh"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn bash_takes_the_script_and_completes_with_it() {
    let script = commitstatus(&["completions", "bash"]);
    let mut bash = Command::new("bash")
        .args(["--noprofile", "--norc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let asks = "COMP_WORDS=(commitstatus clu)\nCOMP_CWORD=1\n_commitstatus commitstatus clu commitstatus\n\
                echo \"${COMPREPLY[*]}\"\n\
                COMP_WORDS=(commitstatus rotate --fi)\nCOMP_CWORD=2\n_commitstatus commitstatus --fi rotate\n\
                echo \"${COMPREPLY[*]}\"\n";
    let mut input = bash.stdin.take().unwrap();
    write!(input, "set -e\n{script}\n{asks}").unwrap();
    drop(input);
    let output = bash.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "cluster\n--finish\n");
}

fn is_page(text: &str) -> bool {
    text.starts_with(".ie") && text.contains("\n.TH ")
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let page = commitstatus(&["man"]);
    assert!(is_page(&page), "{page}");
    for section in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", ".SH SUBCOMMANDS"] {
        assert!(page.contains(section), "{section}");
    }

    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("share/man1");
    let said = commitstatus(&["man", "--output-dir", below.to_str().unwrap()]);
    let mut names = all_commands();
    names.push("commitstatus".to_owned());
    assert_eq!(said.lines().count(), names.len(), "{said}");
    assert_eq!(std::fs::read_dir(&below).unwrap().count(), names.len());
    for name in names {
        let file = below.join(format!("{name}.1"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(is_page(&text), "{name}");
        assert!(said.contains(&format!("{} written", file.display())), "{said}");
    }
    let apply = std::fs::read_to_string(below.join("commitstatus-apply.1")).unwrap();
    assert!(apply.contains("yaml\\-language\\-server"), "{apply}");
}

#[test]
fn schemas_are_printed_and_written_without_a_stack() {
    let names = |directory: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let title = |arguments: &[&str]| {
        let schema: serde_json::Value = serde_json::from_str(&commitstatus(arguments)).unwrap();
        schema["title"].as_str().unwrap().to_owned()
    };
    assert_eq!(title(&["schema", "commitstatus"]), "CommitStatus");
    assert_eq!(title(&["schema", "provider"]), "Provider");
    assert!(title(&["schema"]).contains("a list of them"));

    let directory = tempfile::tempdir().unwrap();
    let one = directory.path().join("one");
    let said = commitstatus(&["schema", "provider", "--output-dir", one.to_str().unwrap()]);
    assert_eq!(said, format!("{}/provider.schema.json written\n", one.display()));
    assert_eq!(names(&one), ["provider.schema.json"]);

    let all = directory.path().join(".schema");
    commitstatus(&["schema", "--output-dir", all.to_str().unwrap()]);
    assert_eq!(
        names(&all),
        [
            "commitstatus-objects.schema.json",
            "commitstatus.schema.json",
            "provider.schema.json"
        ]
    );
    let text = std::fs::read_to_string(all.join("provider.schema.json")).unwrap();
    assert_eq!(text, commitstatus(&["schema", "provider"]));
}

#[test]
fn what_cannot_be_written_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for command in ["man", "schema"] {
        let output = Command::new(env!("CARGO_BIN_EXE_commitstatus"))
            .args([command, "--output-dir", file.path().to_str().unwrap()])
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("name a directory you may write to with --output-dir"),
            "{said}"
        );
    }
}
