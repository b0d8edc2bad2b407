//! The address of a repository, for each kind of host: it leads to one place however it is written again, and user
//! name and password are neither kept nor told.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::{HostKind, Repository};

const PASSWORD: &str = "hunter2hunter2";

fuzz_target!(|address: &str| {
    for host_kind in HostKind::ALL {
        let parsed = Repository::parse(host_kind, address);
        match &parsed {
            Ok(repository) => check(repository),
            Err(error) => assert!(error.to_string().contains("expected https://")),
        }

        if address.to_ascii_lowercase().contains("hunter") {
            continue;
        }
        let with_password = match address.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://user:{PASSWORD}@{rest}"),
            None => format!("user:{PASSWORD}@{address}"),
        };
        let told = match Repository::parse(host_kind, &with_password) {
            Ok(repository) => {
                check(&repository);
                if let Ok(parsed) = &parsed {
                    assert_eq!(parsed, &repository);
                }
                format!("{repository} {repository:?}")
            }
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains(PASSWORD), "{told}");
    }
});

fn check(repository: &Repository) {
    let Repository {
        host_kind,
        scheme,
        authority,
        base_path,
        path,
    } = repository;
    let host = authority
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok());
    let host = host.map_or(authority.as_str(), |(host, _)| host);
    let is_here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    assert!(scheme == "https" || scheme == "http" && is_here, "{repository:?}");
    assert!(!host.is_empty());
    assert!(
        !authority.contains(['@', '/', '?', '#', '\\', ' ']),
        "{repository:?}"
    );
    assert!(
        !authority.contains(|c: char| c.is_ascii_uppercase()),
        "{repository:?}"
    );

    assert!(base_path.is_empty() || base_path.starts_with('/') && *host_kind == HostKind::GitLab);
    assert!(!path.contains(char::is_whitespace), "{repository:?}");
    for segment in base_path.split('/').skip(1).chain(path.split('/')) {
        assert!(!matches!(segment, "" | "." | ".."), "{repository:?}");
        assert!(!segment.contains(char::is_control), "{repository:?}");
    }
    let parts = path.split('/').count();
    match host_kind {
        HostKind::GitHub | HostKind::Bitbucket => assert_eq!(parts, 2),
        HostKind::GitLab => assert!(parts >= 2 || repository.is_project_id()),
    }

    let api = match host_kind {
        HostKind::GitLab => "/api/v4/projects",
        HostKind::GitHub | HostKind::Bitbucket => "",
    };
    let again = format!(
        "{scheme}://{authority}{}{api}/{}.git",
        encode(base_path),
        encode(path)
    );
    assert_eq!(
        Repository::parse(*host_kind, &again).as_ref(),
        Ok(repository),
        "{again}"
    );
}

fn encode(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' => "/".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
