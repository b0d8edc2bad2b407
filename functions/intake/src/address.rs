//! What the address of a request says: which resource, which cluster, which generation of its key.

use std::fmt;
use std::str::FromStr;

use lambda_http::http::Method;

use crate::refusal::{Distrust, Refusal};

/// Where Flux sends events, before the name of the cluster.
const EVENTS: &str = "/events/";

/// Where anyone may ask whether the function answers.
const HEALTH: &str = "/healthz";

/// Characters of a DNS-1123 label (<https://www.rfc-editor.org/rfc/rfc1123#section-2.1>).
pub const MAX_CLUSTER_NAME_CHARS: usize = 63;

/// Generation of a cluster's key where the address names none.
pub const FIRST_GENERATION: u32 = 1;

/// What a path and method ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `GET /healthz`.
    Health,
    /// `POST /events/{cluster}`; the name is not checked yet.
    Events {
        /// The path's last segment, as it came.
        cluster: &'a str,
    },
}

impl<'a> Route<'a> {
    /// Finds the route. `path` is the raw path: without a stage, without the query, nothing decoded.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] and [`Refusal::MethodNotAllowed`].
    pub fn find(method: &Method, path: &'a str) -> Result<Self, Refusal> {
        let (route, allowed) = if path == HEALTH {
            (Self::Health, Method::GET)
        } else {
            match path.strip_prefix(EVENTS) {
                Some(cluster) if !cluster.is_empty() && !cluster.contains('/') => {
                    (Self::Events { cluster }, Method::POST)
                }
                _ => return Err(Refusal::NotFound),
            }
        };
        if *method == allowed {
            Ok(route)
        } else {
            Err(Refusal::MethodNotAllowed { allowed })
        }
    }
}

/// Name of a cluster: a DNS-1123 label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterName {
    type Err = Distrust;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_dns_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Distrust::ClusterName)
        }
    }
}

fn is_dns_label(text: &str) -> bool {
    (1..=MAX_CLUSTER_NAME_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Reads the query: nothing, or `generation=N` with N as `u32` writes it, from 1 on. Nothing else is let
/// through, so that a misspelt parameter is not taken for the first generation.
///
/// # Errors
/// [`Distrust::Generation`].
pub fn generation(query: Option<&str>) -> Result<u32, Distrust> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(FIRST_GENERATION);
    };
    query
        .strip_prefix("generation=")
        // `u32` also reads a sign and leading zeros.
        .filter(|digits| digits.starts_with(|c: char| matches!(c, '1'..='9')))
        .and_then(|digits| digits.parse().ok())
        .ok_or(Distrust::Generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_route() {
        let cases = [
            (Method::GET, "/healthz", Some(Route::Health)),
            (
                Method::POST,
                "/events/prod-eu-1",
                Some(Route::Events { cluster: "prod-eu-1" }),
            ),
            (
                Method::POST,
                "/events/a%20b",
                Some(Route::Events { cluster: "a%20b" }),
            ),
            (Method::POST, "/", None),
            (Method::POST, "", None),
            (Method::POST, "/events", None),
            (Method::POST, "/events/", None),
            (Method::POST, "/events/a/", None),
            (Method::POST, "/events/a/b", None),
            (Method::POST, "//events/a", None),
            (Method::POST, "/Events/a", None),
            (Method::POST, "/prod/events/a", None),
            (Method::GET, "/healthz/", None),
        ];
        for (method, path, expected) in cases {
            let found = Route::find(&method, path);
            match expected {
                Some(route) => assert_eq!(found.unwrap(), route, "{method} {path}"),
                None => assert!(matches!(found, Err(Refusal::NotFound)), "{method} {path}"),
            }
        }
    }

    #[test]
    fn another_method_is_told_the_right_one() {
        for (method, path, right) in [
            (Method::GET, "/events/a", Method::POST),
            (Method::PUT, "/events/a", Method::POST),
            (Method::POST, "/healthz", Method::GET),
        ] {
            let Err(Refusal::MethodNotAllowed { allowed }) = Route::find(&method, path) else {
                panic!("{method} {path} is let through");
            };
            assert_eq!(allowed, right, "{method} {path}");
        }
    }

    #[test]
    fn a_cluster_is_called_like_a_host() {
        let longest = "a".repeat(63);
        for name in ["a", "0", "prod-eu-1", "1-a", "xn--p1ai", longest.as_str()] {
            assert_eq!(name.parse::<ClusterName>().unwrap().as_str(), name);
        }
        let too_long = "a".repeat(64);
        for name in [
            "", "-", "-a", "a-", "A", "a.b", "_all", "*", "a b", "a%62", "é", "a\0b", "a#b", &too_long,
        ] {
            assert!(name.parse::<ClusterName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_generation_has_one_spelling() {
        for (query, expected) in [
            (None, 1),
            (Some(""), 1),
            (Some("generation=1"), 1),
            (Some("generation=20"), 20),
            (Some("generation=4294967295"), u32::MAX),
        ] {
            assert_eq!(generation(query), Ok(expected), "{query:?}");
        }
        for query in [
            "generation",
            "generation=",
            "generation=0",
            "generation=01",
            "generation=+1",
            "generation=-1",
            "generation=1.0",
            "generation=%31",
            "generation= 1",
            "generation=1%20",
            "generation=4294967296",
            "generation=1&generation=1",
            "generation=1&generation=2",
            "generation=1&",
            "&generation=1",
            "Generation=1",
            "g%65neration=1",
            "generaton=2",
            "other=1",
            "generation=١",
        ] {
            assert_eq!(generation(Some(query)), Err(Distrust::Generation), "{query}");
        }
    }
}
