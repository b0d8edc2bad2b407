//! Addresses of repositories, in the spellings Flux takes, before a host looks for the repository in them.

use url::{Host, Url};

/// An address, taken apart.
#[derive(Debug)]
pub(crate) struct Address<'a> {
    /// `https`, `http`, or what ssh goes by.
    pub(crate) scheme: &'a str,
    /// The host, lower-cased, as HTTPS has it.
    pub(crate) host: &'a str,
    /// Whether it is one that Git takes by ssh.
    pub(crate) is_ssh: bool,
    /// Whether the host is this machine.
    pub(crate) is_loopback: bool,
    /// User name before the host: some ssh addresses name the owner there.
    pub(crate) user: &'a str,
    /// What follows the host, without percent encoding, and as it stands otherwise.
    pub(crate) whole_path: &'a str,
    /// The same without slashes around it, and without `.git`.
    pub(crate) path: &'a str,
}

/// Where in an address the repository is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    /// Host and port, if the API is at others than the address says.
    pub(crate) authority: Option<String>,
    /// Where the host is installed below its root: empty, or `/gitlab`.
    pub(crate) base_path: String,
    /// The repository below it.
    pub(crate) path: String,
}

impl Address<'_> {
    /// A repository that is an owner and a name.
    pub(crate) fn owner_and_name(&self) -> Result<Location, String> {
        self.at_root(self.path, |parts| parts.len() == 2)
    }

    /// A repository below the root of its host, if its parts are as they should be.
    pub(crate) fn at_root(&self, path: &str, is_right: impl Fn(&[&str]) -> bool) -> Result<Location, String> {
        self.below("", path, is_right)
    }

    /// A repository at a host that is installed below its root.
    pub(crate) fn below(
        &self,
        base_path: &str,
        path: &str,
        is_right: impl Fn(&[&str]) -> bool,
    ) -> Result<Location, String> {
        if !base_path.split('/').skip(1).all(is_segment) {
            return Err(format!(
                "invalid path `{}` before the API's",
                presentable(base_path)
            ));
        }
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().all(|part| is_segment(part))
            || path.contains(char::is_whitespace)
            || !is_right(&parts)
        {
            return Err(invalid_id(path));
        }
        Ok(Location {
            authority: None,
            base_path: base_path.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// As notification-controller says it.
pub(crate) fn invalid_id(path: &str) -> String {
    format!("invalid repository id `{}`", presentable(path))
}

/// Whether a part of a path is the name of something.
pub(crate) fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(char::is_control)
}

/// An address as it may be told: user name and password stand before the last `@`, and tokens in queries.
pub(crate) fn presentable(address: &str) -> String {
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

pub(crate) fn as_url(address: &str) -> Option<Url> {
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
pub(crate) fn over_https(host: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let host = match url.host_str()? {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        "altssh.bitbucket.org" => "bitbucket.org",
        host => host,
    };
    Some(host.to_owned())
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Undoes percent encoding; the `url` crate keeps it in paths. `None` if that is no UTF-8.
pub(crate) fn percent_decode(path: &str) -> Option<String> {
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
