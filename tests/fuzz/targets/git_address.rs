//! The address of a repository, for each kind of host: it leads to one place however it is written again, and user
//! name and password are neither kept nor told.

#![no_main]

use hosts::{HostKind, Repository};
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "hunter2hunter2";

fuzz_target!(|address: &str| {
    for host_kind in HostKind::ALL {
        let parsed = Repository::parse(host_kind, address, false);
        match &parsed {
            Ok(repository) => check(repository),
            Err(error) => assert!(error.to_string().contains("https://")),
        }

        if address.to_ascii_lowercase().contains("hunter") {
            continue;
        }
        let with_password = match address.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://user:{PASSWORD}@{rest}"),
            None => format!("user:{PASSWORD}@{address}"),
        };
        let told = match Repository::parse(host_kind, &with_password, false) {
            Ok(repository) => {
                check(&repository);
                // One of Azure's names the organization where others have a user.
                if let Ok(parsed) = &parsed
                    && !address.contains("_ssh")
                {
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

    let may_be_below = !matches!(host_kind, HostKind::GitHub | HostKind::Bitbucket);
    assert!(base_path.is_empty() || base_path.starts_with('/') && may_be_below);
    let may_have_spaces = *host_kind == HostKind::AzureDevOps;
    assert!(
        may_have_spaces || !path.contains(char::is_whitespace),
        "{repository:?}"
    );
    for segment in base_path.split('/').skip(1).chain(path.split('/')) {
        assert!(!matches!(segment, "" | "." | ".."), "{repository:?}");
        assert!(!segment.contains(char::is_control), "{repository:?}");
    }
    let parts = path.split('/').count();
    match host_kind {
        HostKind::AzureDevOps => assert_eq!(parts, 3),
        HostKind::GitLab => assert!(parts >= 2 || path.bytes().all(|byte| byte.is_ascii_digit())),
        _ => assert_eq!(parts, 2),
    }

    let (base, encoded) = (encode(base_path), encode(path));
    let below = match host_kind {
        HostKind::GitLab => format!("{base}/api/v4/projects/{encoded}.git"),
        HostKind::Gitea if !base.is_empty() => format!("{base}/api/v1/repos/{encoded}.git"),
        HostKind::BitbucketServer => format!("{base}/scm/{encoded}.git"),
        HostKind::AzureDevOps => {
            let mut parts = encoded.splitn(3, '/');
            let mut part = || parts.next().unwrap();
            format!("{base}/{}/{}/_git/{}", part(), part(), part())
        }
        _ => format!("{base}/{encoded}.git"),
    };
    let again = format!("{scheme}://{authority}{below}");
    assert_eq!(
        Repository::parse(*host_kind, &again, false).as_ref(),
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
