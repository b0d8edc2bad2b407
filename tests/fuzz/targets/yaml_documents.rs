//! A file for the operator's tool: each finding stands at a place of the file, and what is valid is still the same
//! after it was printed and read again.

#![no_main]

use fuzz::cli::object::ObjectId;
use fuzz::cli::yaml::{Finding, Source, identify, validate};
use libfuzzer_sys::fuzz_target;
use shared::Scope;

fuzz_target!(|text: &str| {
    let sources = [Source {
        name: "a.yaml".into(),
        text: text.into(),
    }];
    let validated = match validate(&sources, None) {
        Ok(validated) => validated,
        Err(wrong) => {
            assert!(!wrong.mistakes.is_empty());
            wrong
                .mistakes
                .iter()
                .chain(&wrong.notes)
                .for_each(|finding| check(finding, text));
            // What is deleted need not be valid, but what is no object has no name.
            if let Err(unnamed) = identify(&sources, None) {
                unnamed.mistakes.iter().for_each(|finding| check(finding, text));
            }
            return;
        }
    };
    validated.notes.iter().for_each(|finding| check(finding, text));

    let ids: Vec<ObjectId> = validated
        .documents
        .iter()
        .map(|document| document.object.id())
        .collect();
    assert_eq!(identify(&sources, None), Ok(ids));

    let printed = validated.documents.iter().map(|document| {
        let manifest = document.object.to_manifest(&Scope::AllClusters).unwrap();
        Source {
            name: "printed.yaml".into(),
            text: serde_saphyr::to_string(&manifest).unwrap(),
        }
    });
    let printed: Vec<Source> = printed.collect();
    let again = validate(&printed, None).unwrap_or_else(|wrong| panic!("{wrong}\n{printed:?}"));
    for (first, second) in validated.documents.iter().zip(&again.documents) {
        assert_eq!(first.object, second.object);
    }
    assert_eq!(validated.documents.len(), again.documents.len());
});

fn check(finding: &Finding, text: &str) {
    let (line, column) = (finding.position.line as usize, finding.position.column as usize);
    assert_eq!(finding.position.file, "a.yaml");
    // YAML ends lines at these; a file may end in an empty one.
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    assert!((1..=lines.len()).contains(&line), "{finding}");
    let longest = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or_default();
    assert!((1..=longest + 1).contains(&column), "{finding}");
    assert!(!finding.text.is_empty());
    assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
}
