//! A revision: a commit is 40 lower-case hexadecimal digits at its end, or it is none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::CommitSha;

const SHA: &str = "a1afe267b54f38b46b487f6e938a6fd508278c07";

fuzz_target!(|revision: &str| {
    let tail = match (revision.rfind(':'), revision.rfind('/')) {
        (Some(colon), _) => &revision[colon + 1..],
        (None, Some(slash)) => &revision[slash + 1..],
        (None, None) => revision,
    };
    let is_commit = tail.len() == 40 && tail.chars().all(|c| c.is_ascii_hexdigit());
    let found = CommitSha::from_revision(revision);
    assert_eq!(
        found.as_ref().map(CommitSha::as_str),
        is_commit.then(|| tail.to_ascii_lowercase()).as_deref()
    );
    assert_eq!(
        revision.parse::<CommitSha>().is_ok(),
        is_commit && tail == revision
    );

    if let Some(sha) = found {
        assert_eq!(sha.to_string().parse(), Ok(sha.clone()));
        assert!(sha.as_str().starts_with(sha.short()) && sha.short().len() == 7);
        let json = serde_json::to_string(&sha).unwrap();
        assert_eq!(serde_json::from_str::<CommitSha>(&json).unwrap(), sha);
    }

    // Whatever a branch is called.
    for spelt in [
        format!("{revision}@sha1:{SHA}"),
        format!("{revision}:{}", SHA.to_uppercase()),
    ] {
        assert_eq!(
            CommitSha::from_revision(&spelt).as_ref().map(CommitSha::as_str),
            Some(SHA)
        );
    }
    assert_eq!(
        CommitSha::from_revision(&format!("{revision}@sha256:{SHA}{SHA}")),
        None
    );
});
