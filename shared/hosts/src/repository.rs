//! Repositories at Git hosts, read from `Provider.spec.address`.

use std::fmt;

use shared::kinds::ProviderSpec;

use crate::HostKind;
use crate::address::{Address, Location, as_url, is_loopback, over_https, percent_decode, presentable};

/// A repository at a Git host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Which API the host speaks.
    pub host_kind: HostKind,
    /// `https`, or `http` for a host on this machine, or where the Provider says `insecure`.
    pub scheme: String,
    /// Host and port, lower-cased.
    pub authority: String,
    /// Where the host is installed below its root: empty, or `/gitlab`.
    pub base_path: String,
    /// `owner/name`; at GitLab also sub-groups or a numeric project id, at Azure DevOps `organization/project/name`.
    pub path: String,
}

/// The address does not lead to a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; expected {expected}")]
pub struct AddressError {
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

impl Repository {
    /// The repository a Provider points to.
    ///
    /// # Errors
    /// Says what is wrong with its type or address, and what would be right.
    pub fn of(spec: &ProviderSpec) -> Result<Self, AddressError> {
        let host_kind = HostKind::from_type(&spec.kind).ok_or_else(|| AddressError {
            problem: format!("`{}` is no Git host of this release", spec.kind),
            expected: format!("one of {}", HostKind::ALL.map(HostKind::as_str).join(", ")),
        })?;
        Self::parse(host_kind, &spec.address, spec.insecure)
    }

    /// Reads an address.
    ///
    /// As notification-controller: `https://`, `ssh://`, `git://`, the scp form `git@host:path`, with or without
    /// `.git`. User information is dropped, and so is the port of an ssh address (notification-controller keeps it and
    /// then talks HTTPS to it). `http://` is for hosts on this machine unless `insecure`. Hosts below a path of their own
    /// are named as each host's file says.
    ///
    /// # Errors
    /// Says what is wrong and which form would be right.
    pub fn parse(host_kind: HostKind, address: &str, insecure: bool) -> Result<Self, AddressError> {
        let error = |problem: String| AddressError {
            problem,
            expected: host_kind.address_form().to_owned(),
        };

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
        let is_loopback = is_loopback(&url);
        if scheme == "http" && !is_loopback && !insecure {
            return Err(error(format!(
                "`http://{host}` would send the credential unprotected, which takes `insecure: true`"
            )));
        }
        let authority = match url.port() {
            Some(port) if !is_ssh => format!("{host}:{port}"),
            _ => host.clone(),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(error(format!("`{shown}` has a query or fragment")));
        }
        let whole_path = percent_decode(url.path()).ok_or_else(|| error(format!("`{shown}` is not text")))?;
        let path = whole_path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        let location = host_kind
            .locate(&Address {
                scheme: url.scheme(),
                host: &host,
                is_ssh,
                is_loopback,
                user: url.username(),
                whole_path: &whole_path,
                path,
            })
            .map_err(error)?;
        let Location {
            authority: another,
            base_path,
            path,
        } = location;
        Ok(Self {
            host_kind,
            scheme: scheme.to_owned(),
            authority: another.unwrap_or(authority),
            base_path,
            path,
        })
    }

    /// Identity of the repository in the `statuses` table: host, install path and repository. All hosts compare
    /// repository names without case.
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
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.authority, self.base_path, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HostKind::{AzureDevOps, Bitbucket, BitbucketServer, GitHub, GitLab, Gitea};
    use proptest::prelude::*;

    fn parsed(host_kind: HostKind, address: &str) -> (String, String) {
        let repository =
            Repository::parse(host_kind, address, false).unwrap_or_else(|e| panic!("{address}: {e}"));
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

    // notification-controller internal/notifier/bitbucketserver_test.go, gitea_test.go, azure_devops_test.go.
    #[test]
    fn p18_reads_the_addresses_of_the_other_hosts_as_upstream() {
        let cases = [
            (
                BitbucketServer,
                "https://example.com:7990/scm/projectfoo/repobar.git",
                "https://example.com:7990",
                "projectfoo/repobar",
            ),
            (
                BitbucketServer,
                "https://example.com:7990/context/scm/projectfoo/repobar.git",
                "https://example.com:7990/context",
                "projectfoo/repobar",
            ),
            (
                BitbucketServer,
                "https://example.com:7990/context/context/context/scm/projectfoo/repobar.git",
                "https://example.com:7990/context/context/context",
                "projectfoo/repobar",
            ),
            (
                BitbucketServer,
                "https://example.com:7990/scm/scm/projectfoo/repobar.git",
                "https://example.com:7990/scm",
                "projectfoo/repobar",
            ),
            (
                BitbucketServer,
                "https://example.com:7990/scm/context/scm/scm/projectfoo/repobar.git",
                "https://example.com:7990/scm/context/scm",
                "projectfoo/repobar",
            ),
            (
                Gitea,
                "https://try.gitea.io/foo/bar",
                "https://try.gitea.io",
                "foo/bar",
            ),
            (
                AzureDevOps,
                "https://example.com/foo/bar/_git/baz",
                "https://example.com",
                "foo/bar/baz",
            ),
            (
                AzureDevOps,
                "https://dev.azure.com/foo/bar/_git/baz",
                "https://dev.azure.com",
                "foo/bar/baz",
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
    fn reads_every_spelling_of_azure_devops() {
        let cases = [
            ("https://acme@dev.azure.com/acme/web/_git/fleet", "acme/web/fleet"),
            ("https://dev.azure.com/acme/_git/fleet", "acme/fleet/fleet"),
            ("https://acme.visualstudio.com/web/_git/fleet", "acme/web/fleet"),
            (
                "https://acme.visualstudio.com/DefaultCollection/web/_git/fleet",
                "acme/web/fleet",
            ),
            ("https://acme.visualstudio.com/_git/fleet", "acme/fleet/fleet"),
            (
                "https://acme.visualstudio.com/DefaultCollection/_git/fleet",
                "acme/fleet/fleet",
            ),
            ("git@ssh.dev.azure.com:v3/acme/web/fleet", "acme/web/fleet"),
            ("ssh://git@ssh.dev.azure.com/v3/acme/web/fleet", "acme/web/fleet"),
            ("acme@vs-ssh.visualstudio.com:v3/acme/web/fleet", "acme/web/fleet"),
            (
                "ssh://acme@vs-ssh.visualstudio.com:22/web/_ssh/fleet",
                "acme/web/fleet",
            ),
            (
                "https://dev.azure.com/acme/Our%20Web/_git/The%20Fleet",
                "acme/Our Web/The Fleet",
            ),
        ];
        for (address, path) in cases {
            assert_eq!(
                parsed(AzureDevOps, address),
                ("https://dev.azure.com".into(), path.into()),
                "{address}"
            );
        }
        let servers = [
            (
                "https://tfs.acme.com/tfs/Main/web/_git/fleet",
                "https://tfs.acme.com/tfs",
                "Main/web/fleet",
            ),
            (
                "https://tfs.acme.com:8080/Main/_git/fleet",
                "https://tfs.acme.com:8080",
                "Main/fleet/fleet",
            ),
        ];
        for (address, root, path) in servers {
            assert_eq!(parsed(AzureDevOps, address), (root.into(), path.into()));
        }
    }

    #[test]
    fn reads_installs_below_a_path_and_http_where_it_is_allowed() {
        let gitea = "https://example.com/git/api/v1/repos/acme/fleet.git";
        assert_eq!(
            parsed(Gitea, gitea),
            ("https://example.com/git".into(), "acme/fleet".into())
        );
        assert_eq!(
            parsed(BitbucketServer, "https://example.com/scm/~jane/fleet.git/"),
            ("https://example.com".into(), "~jane/fleet".into())
        );
        let http = "http://gitea.local:3000/acme/fleet";
        assert!(Repository::parse(Gitea, http, false).is_err());
        let repository = Repository::parse(Gitea, http, true).unwrap();
        assert_eq!(repository.root(), "http://gitea.local:3000");
        assert_eq!(repository.key(), "gitea.local:3000/acme/fleet");
    }

    #[test]
    fn a_provider_of_a_later_release_is_told_what_this_one_knows() {
        let spec: ProviderSpec = serde_json::from_value(serde_json::json!({
            "type": "sourcehut", "address": "https://git.sr.ht/~acme/fleet", "secretRef": {"name": "token"},
        }))
        .unwrap();
        assert_eq!(
            Repository::of(&spec).unwrap_err().to_string(),
            "`sourcehut` is no Git host of this release; expected one of github, gitlab, bitbucket, bitbucketserver, \
             gitea, azuredevops"
        );
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
                "`http://github.com` would send the credential unprotected, which takes `insecure: true`; expected https://github.com/OWNER/REPOSITORY",
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
            (
                BitbucketServer,
                "https://example.com:7990/projectfoo/repobar.git",
                "it is not the address the repository is cloned from over HTTPS; expected the address it is cloned from \
                 over HTTPS, https://HOST/scm/PROJECT/REPOSITORY.git",
            ),
            (
                BitbucketServer,
                "ssh://git@example.com:7990/scm/projectfoo/repobar.git",
                "`ssh://` does not tell where its API is; it must be the address for HTTPS; expected the address it is \
                 cloned from over HTTPS, https://HOST/scm/PROJECT/REPOSITORY.git",
            ),
            (
                BitbucketServer,
                "https://example.com:7990/scm/projectfoo/repobar/invalid.git",
                "invalid repository id `projectfoo/repobar/invalid`; expected the address it is cloned from over HTTPS, \
                 https://HOST/scm/PROJECT/REPOSITORY.git",
            ),
            (
                Gitea,
                "https://try.gitea.io/foo/bar/baz",
                "invalid repository id `foo/bar/baz`; expected https://HOST/OWNER/REPOSITORY, or \
                 https://HOST/PATH/api/v1/repos/OWNER/REPOSITORY for one below a path",
            ),
            (
                AzureDevOps,
                "https://dev.azure.com/foo/bar/baz",
                "invalid repository id `foo/bar/baz`; expected https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY",
            ),
            (
                AzureDevOps,
                "https://dev.azure.com/x/foo/bar/_git/baz",
                "invalid repository id `x/foo/bar/_git/baz`; expected \
                 https://dev.azure.com/ORGANIZATION/PROJECT/_git/REPOSITORY",
            ),
        ];
        for (host_kind, address, error) in cases {
            assert_eq!(
                Repository::parse(host_kind, address, false)
                    .unwrap_err()
                    .to_string(),
                error,
                "{address}"
            );
        }
    }

    // Found by fuzzing: it becomes part of the key of every status and of the address that is posted to.
    #[test]
    fn the_path_of_an_install_is_checked_as_the_repositorys() {
        for base in ["/a//b", "//a", "/%2e%2e%2fa", "/a%0ab"] {
            let address = format!("https://example.com{base}/api/v4/projects/group%2Fproject");
            let error = Repository::parse(GitLab, &address, false).unwrap_err();
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
            let repository = Repository::parse(GitHub, address, false).unwrap();
            assert_eq!(repository.authority, "xn--bcher-kva.example", "{address}");
        }
        for address in [
            "ssh://git@%0agithub.com/foo/bar",
            "git@git%2Fhub.com:foo/bar",
            "ssh://git@a^b/foo/bar",
        ] {
            let error = Repository::parse(GitHub, address, false).unwrap_err();
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
            let error = Repository::parse(GitHub, address, false).unwrap_err().to_string();
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
                Repository::parse(GitHub, address, false).unwrap().key(),
                "github.com/acme/fleet"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics(address in ".*") {
            for host_kind in HostKind::ALL {
                let _ = Repository::parse(host_kind, &address, false);
            }
        }
    }
}
