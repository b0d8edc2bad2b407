//! Names as Kubernetes allows them.

/// Longest DNS-1123 label.
pub(crate) const MAX_LABEL: usize = 63;
/// Longest DNS-1123 subdomain.
pub(crate) const MAX_SUBDOMAIN: usize = 253;

/// Checks the name of a namespace or a cluster.
///
/// # Errors
/// Says what a DNS-1123 label looks like.
pub fn check_label(name: &str) -> Result<(), String> {
    if is_label(name) && name.len() <= MAX_LABEL {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a DNS-1123 label: lower-case letters, digits and `-`, at most {MAX_LABEL} characters, \
         beginning and ending with a letter or digit",
        shorten(name)
    ))
}

/// Checks the name of an object.
///
/// # Errors
/// Says what a DNS-1123 subdomain looks like.
pub fn check_subdomain(name: &str) -> Result<(), String> {
    if name.split('.').all(is_label) && name.len() <= MAX_SUBDOMAIN {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a DNS-1123 subdomain: lower-case letters, digits, `-` and `.`, at most {MAX_SUBDOMAIN} \
         characters, each part beginning and ending with a letter or digit",
        shorten(name)
    ))
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|&byte| inner(byte))
        && bytes.last().is_some_and(|&byte| inner(byte))
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
}

fn shorten(name: &str) -> String {
    // Enough to recognise it by, and it stays on one line.
    const SHOWN: usize = 80;
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}
