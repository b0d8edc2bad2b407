//! Addresses of repositories, in the spellings Flux takes.

use std::fmt;

use url::{Host, Url};

use crate::kinds::HostKind;

/// A repository at a Git host, read from `Provider.spec.address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Which API the host speaks.
    pub host_kind: HostKind,
    /// `https`, or `http` for a host on this machine.
    pub scheme: String,
    /// Host and port, lower-cased.
    pub authority: String,
    /// Where the host is installed below its root: empty, or `/gitlab`.
    pub base_path: String,
    /// `owner/name`; at GitLab also sub-groups or a numeric project id.
    pub path: String,
}

/// The address does not lead to a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; expected {expected}")]
pub struct AddressError {
    /// What is wrong with it.
    pub problem: String,
    /// The form that would be right for that host.
    pub expected: &'static str,
}

/// Path below which GitLab serves its API; names the install's own path when it stands in an address.
const GITLAB_PROJECTS: &str = "/api/v4/projects/";

impl Repository {
    /// Reads an address.
    ///
    /// As notification-controller: `https://`, `ssh://`, `git://`, the scp form `git@host:path`, with or without
    /// `.git`. User information is dropped, and so is the port of an ssh address (notification-controller keeps it and
    /// then talks HTTPS to it). A GitLab below a path of its own is named by its API:
    /// `https://host/gitlab/api/v4/projects/group%2Fproject`, or a project id in place of the path.
    ///
    /// # Errors
    /// Says what is wrong and which form would be right.
    pub fn parse(host_kind: HostKind, address: &str) -> Result<Self, AddressError> {
        let expected = expected_form(host_kind);
        let error = |problem: String| AddressError { problem, expected };

        let address = address.trim();
        if address.is_empty() {
            return Err(error("the address is empty".into()));
        }
        let shown = presentable(address);
        let url = as_url(address).ok_or_else(|| error(format!("`{shown}` is not a Git address")))?;
        let is_ssh = matches!(url.scheme(), "ssh" | "git+ssh" | "git");
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ if is_ssh => "https",
            other => {
                return Err(error(format!(
                    "`{other}://` is not a scheme the host's API can be reached by"
                )));
            }
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .map(str::to_ascii_lowercase);
        let host = host.ok_or_else(|| error(format!("`{shown}` names no host")))?;
        let host = match is_ssh {
            true => over_https(&host).ok_or_else(|| error(format!("`{shown}` is not a Git address")))?,
            false => host,
        };
        let loopback = is_loopback(&url);
        if scheme == "http" && !loopback {
            return Err(error(format!(
                "`http://{host}` would send the credential unprotected"
            )));
        }
        let authority = match url.port() {
            Some(port) if !is_ssh => format!("{host}:{port}"),
            _ => host.clone(),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error(format!("`{shown}` has a query or fragment")));
        }

        let decoded = percent_decode(url.path()).ok_or_else(|| error(format!("`{shown}` is not text")))?;
        let (base_path, path) = match decoded.split_once(GITLAB_PROJECTS) {
            Some((base, path)) if host_kind == HostKind::GitLab => (base.trim_end_matches('/'), path),
            _ => ("", decoded.as_str()),
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        check_path(host_kind, path).map_err(error)?;
        if !base_path.split('/').skip(1).all(is_segment) {
            return Err(error(format!(
                "invalid path `{}` before the API's",
                presentable(base_path)
            )));
        }
        if host_kind == HostKind::Bitbucket && host != "bitbucket.org" && !loopback {
            return Err(error(format!("Bitbucket Cloud is not at `{host}`")));
        }
        Ok(Self {
            host_kind,
            scheme: scheme.to_owned(),
            authority,
            base_path: base_path.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Identity of the repository in the `statuses` table: host, install path and repository. All three hosts
    /// compare repository names without case.
    pub fn key(&self) -> String {
        format!(
            "{}{}/{}",
            self.authority,
            self.base_path,
            self.path.to_lowercase()
        )
    }

    /// Root of the host, without a slash at the end.
    pub fn root(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.base_path)
    }

    /// Whether GitLab is told the project by its number.
    pub fn is_project_id(&self) -> bool {
        is_project_id(self.host_kind, &self.path)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.authority, self.base_path, self.path)
    }
}

const fn expected_form(host_kind: HostKind) -> &'static str {
    match host_kind {
        HostKind::GitHub => "https://github.com/OWNER/REPOSITORY",
        HostKind::GitLab => "https://gitlab.com/GROUP/PROJECT or https://gitlab.com/PROJECT_ID",
        HostKind::Bitbucket => "https://bitbucket.org/WORKSPACE/REPOSITORY",
    }
}

/// An address as it may be told: user name and password stand before the last `@`, and tokens in queries.
fn presentable(address: &str) -> String {
    let (scheme, rest) = match split_scheme(address) {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    match rest.find(['?', '#']) {
        Some(end) => format!("{scheme}{}…", &rest[..=end]),
        None => format!("{scheme}{rest}"),
    }
}

fn split_scheme(address: &str) -> Option<(&str, &str)> {
    let is_scheme = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    address.split_once("://").filter(|(scheme, _)| is_scheme(scheme))
}

fn as_url(address: &str) -> Option<Url> {
    if split_scheme(address).is_some() {
        return Url::parse(address).ok();
    }
    // The `url` crate would find another host in `https:x://user:password@host/path`.
    if address.contains("://") {
        return None;
    }
    // scp form: [user@]host:path, no slash before the colon.
    let (host, path) = address.split_once(':')?;
    let path = path.trim_start_matches('/');
    // And `user:password@host/path` has lost its scheme.
    let is_credential = path.split('/').next().is_some_and(|first| first.contains('@'));
    if host.is_empty() || host.contains('/') || path.is_empty() || is_credential {
        return None;
    }
    Url::parse(&format!("ssh://{host}/{path}")).ok()
}

/// The host of an ssh address as HTTPS has it: the `url` crate leaves what stands there as it is written, and the hosts
/// that take ssh on port 443 go by another name there.
fn over_https(host: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let host = match url.host_str()? {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        "altssh.bitbucket.org" => "bitbucket.org",
        host => host,
    };
    Some(host.to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Undoes percent encoding; the `url` crate keeps it in paths. `None` if that is no UTF-8.
fn percent_decode(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| bytes.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[index]));
        index += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

fn is_project_id(host_kind: HostKind, path: &str) -> bool {
    host_kind == HostKind::GitLab && !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_path(host_kind: HostKind, path: &str) -> Result<(), String> {
    let invalid = || Err(format!("invalid repository id `{}`", presentable(path)));
    let parts: Vec<&str> = path.split('/').collect();
    if !parts.iter().all(|part| is_segment(part)) || path.contains(char::is_whitespace) {
        return invalid();
    }
    match host_kind {
        HostKind::GitHub | HostKind::Bitbucket if parts.len() != 2 => invalid(),
        HostKind::GitLab if parts.len() < 2 && !is_project_id(host_kind, path) => invalid(),
        _ => Ok(()),
    }
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use HostKind::{Bitbucket, GitHub, GitLab};
    use proptest::prelude::*;

    fn parsed(host_kind: HostKind, address: &str) -> (String, String) {
        let repository = Repository::parse(host_kind, address).unwrap_or_else(|e| panic!("{address}: {e}"));
        (repository.root(), repository.path)
    }

    // notification-controller internal/notifier/util_test.go TestUtil_ParseGitAddress, github_test.go, gitlab_test.go,
    // bitbucket_test.go.
    #[test]
    fn p18_reads_the_addresses_upstream_reads() {
        let cases = [
            (
                GitHub,
                "https://github.com/stefanprodan/podinfo",
                "https://github.com",
                "stefanprodan/podinfo",
            ),
            (GitHub, "https://foo.com/foo/bar", "https://foo.com", "foo/bar"),
            (
                GitHub,
                "https://github.com/foo/bar.git",
                "https://github.com",
                "foo/bar",
            ),
            (
                GitHub,
                "ssh://git@github.com/stefanprodan/podinfo",
                "https://github.com",
                "stefanprodan/podinfo",
            ),
            (
                GitLab,
                "git@gitlab.com:foo/bar.git",
                "https://gitlab.com",
                "foo/bar",
            ),
            (
                GitLab,
                "https://gitlab.com/foo/bar/foo.git",
                "https://gitlab.com",
                "foo/bar/foo",
            ),
            (
                GitLab,
                "https://gitlab.com/foo/bar/baz",
                "https://gitlab.com",
                "foo/bar/baz",
            ),
            (
                GitLab,
                "https://example.com/foo/bar",
                "https://example.com",
                "foo/bar",
            ),
            (
                Bitbucket,
                "https://bitbucket.org/foo/bar",
                "https://bitbucket.org",
                "foo/bar",
            ),
        ];
        for (host_kind, address, root, path) in cases {
            assert_eq!(
                parsed(host_kind, address),
                (root.into(), path.into()),
                "{address}"
            );
        }
    }

    #[test]
    fn reads_what_upstream_gets_wrong() {
        let cases = [
            (
                GitHub,
                "ssh://git@github.com:22/o/r.git",
                "https://github.com",
                "o/r",
            ),
            (
                GitHub,
                "https://token@GitHub.com/O/r/",
                "https://github.com",
                "O/r",
            ),
            (GitLab, "https://gitlab.com/12345", "https://gitlab.com", "12345"),
            (
                GitLab,
                "https://git.example.com:8443/a/b",
                "https://git.example.com:8443",
                "a/b",
            ),
            (
                GitLab,
                "https://example.com/gitlab/api/v4/projects/group%2Fsub%2Fproject",
                "https://example.com/gitlab",
                "group/sub/project",
            ),
            (
                GitLab,
                "https://example.com/a/b/api/v4/projects/42",
                "https://example.com/a/b",
                "42",
            ),
            (
                GitHub,
                "http://127.0.0.1:9000/acme/fleet",
                "http://127.0.0.1:9000",
                "acme/fleet",
            ),
        ];
        for (host_kind, address, root, path) in cases {
            assert_eq!(
                parsed(host_kind, address),
                (root.into(), path.into()),
                "{address}"
            );
        }
    }

    #[test]
    fn refuses_an_address_with_the_form_that_would_be_right() {
        let cases = [
            (
                GitHub,
                "",
                "the address is empty; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "https://github.com/foo/bar/baz",
                "invalid repository id `foo/bar/baz`; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "https://github.com/foo",
                "invalid repository id `foo`; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "github.com/foo/bar",
                "`github.com/foo/bar` is not a Git address; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "http://github.com/foo/bar",
                "`http://github.com` would send the credential unprotected; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "ftp://github.com/foo/bar",
                "`ftp://` is not a scheme the host's API can be reached by; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitHub,
                "https://github.com/foo/bar?x=1",
                "`https://github.com/foo/bar?…` has a query or fragment; expected https://github.com/OWNER/REPOSITORY",
            ),
            (
                GitLab,
                "https://gitlab.com/foo",
                "invalid repository id `foo`; expected https://gitlab.com/GROUP/PROJECT or https://gitlab.com/PROJECT_ID",
            ),
            (
                Bitbucket,
                "https://bitbucket.org/foo/bar/baz",
                "invalid repository id `foo/bar/baz`; expected https://bitbucket.org/WORKSPACE/REPOSITORY",
            ),
            (
                Bitbucket,
                "https://bitbucket.example.com/foo/bar",
                "Bitbucket Cloud is not at `bitbucket.example.com`; expected https://bitbucket.org/WORKSPACE/REPOSITORY",
            ),
        ];
        for (host_kind, address, error) in cases {
            assert_eq!(
                Repository::parse(host_kind, address).unwrap_err().to_string(),
                error
            );
        }
    }

    // Found by fuzzing: it becomes part of the key of every status and of the address that is posted to.
    #[test]
    fn the_path_of_an_install_is_checked_as_the_repositorys() {
        for base in ["/a//b", "//a", "/%2e%2e%2fa", "/a%0ab"] {
            let address = format!("https://example.com{base}/api/v4/projects/group%2Fproject");
            let error = Repository::parse(GitLab, &address).unwrap_err();
            assert!(error.problem.starts_with("invalid path `"), "{error}");
        }
    }

    // Found by fuzzing.
    #[test]
    fn the_host_of_an_ssh_address_is_one_that_https_can_name() {
        for address in [
            "git@BÜCHER.example:foo/bar",
            "ssh://git@b%C3%BCcher.example/foo/bar",
            "https://bücher.example/foo/bar",
        ] {
            let repository = Repository::parse(GitHub, address).unwrap();
            assert_eq!(repository.authority, "xn--bcher-kva.example", "{address}");
        }
        for address in [
            "ssh://git@%0agithub.com/foo/bar",
            "git@git%2Fhub.com:foo/bar",
            "ssh://git@a^b/foo/bar",
        ] {
            let error = Repository::parse(GitHub, address).unwrap_err();
            assert!(error.problem.ends_with("is not a Git address"), "{error}");
        }
    }

    // Found by fuzzing.
    #[test]
    fn an_address_that_is_refused_is_told_without_its_secrets() {
        let cases = [
            (
                "https://user:hunter2@github.com/foo/bar?x=1",
                "`https://github.com/foo/bar?…` has",
            ),
            (
                "https://github.com/foo/bar?token=hunter2",
                "`https://github.com/foo/bar?…` has",
            ),
            (
                "https://github.com/foo/bar#hunter2",
                "`https://github.com/foo/bar#…` has",
            ),
            (
                "https://user:hun/hunter2@github.com/foo/bar",
                "`https://github.com/foo/bar` is not",
            ),
            ("https://user:hunter2@", "`https://` is not"),
            (
                "https://github.com/https://user:hunter2@github.com/foo/bar",
                "invalid repository id `https://github.com/foo/bar`",
            ),
            (
                "https:x://user:hunter2@github.com/foo/bar",
                "`github.com/foo/bar` is not",
            ),
            (
                "https:/user:hunter2@github.com/foo/bar",
                "`github.com/foo/bar` is not",
            ),
            ("user:hunter2@github.com/foo/bar", "`github.com/foo/bar` is not"),
            ("user:hunter2@gitlab.com/bar", "`gitlab.com/bar` is not"),
            (
                "us er:hunter2@https://github.com/foo/bar",
                "`https://github.com/foo/bar` is not",
            ),
            (
                "https://user:hunter2@github.com/foo/%ff",
                "`https://github.com/foo/%ff` is not text",
            ),
        ];
        for (address, beginning) in cases {
            let error = Repository::parse(GitHub, address).unwrap_err().to_string();
            assert!(error.starts_with(beginning), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn one_repository_has_one_key_however_it_is_spelt() {
        for address in [
            "https://github.com/Acme/Fleet",
            "git@GITHUB.com:acme/fleet.git",
            "https://github.com/acme/fleet/",
        ] {
            assert_eq!(
                Repository::parse(GitHub, address).unwrap().key(),
                "github.com/acme/fleet"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(address in ".*") {
            for host_kind in HostKind::ALL {
                let _ = Repository::parse(host_kind, &address);
            }
        }
    }
}
