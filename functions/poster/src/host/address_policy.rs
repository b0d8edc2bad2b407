//! Which IP addresses a credential may be sent to. Pure.
//!
//! Public ones, and those in the ranges the operator allows. Who may write a Provider could otherwise have this function
//! call what only it can reach: the metadata service with the function's own credentials, or the network it stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Public addresses, and the ranges the operator allows besides. The default allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

/// The address is not one that may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} address {ip} is not {} AllowedPrivateRanges", if *.by_name { "named in" } else { "in" })]
pub struct RefusedAddress {
    /// The address that was judged: of one that wraps an IPv4 address, the latter.
    pub ip: IpAddr,
    /// What addresses of that range are for.
    pub kind: &'static str,
    by_name: bool,
}

/// A range that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` {problem}; expected {expected}")]
pub struct RangeError {
    /// As it was written.
    pub entry: String,
    /// What is wrong with it.
    pub problem: &'static str,
    /// What would be right.
    pub expected: String,
}

/// Addresses that are not public.
struct Special {
    range: IpNet,
    kind: &'static str,
    /// Only a range that lies within this one allows its addresses: who allows `0.0.0.0/0` or `fc00::/7` thinks of a
    /// network of their own, not of the machine's metadata and credentials.
    by_name: bool,
}

const fn v4(octets: [u8; 4], prefix_len: u8, kind: &'static str) -> Special {
    let [a, b, c, d] = octets;
    Special {
        range: IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_len),
        kind,
        by_name: false,
    }
}

const fn v6(bits: u128, prefix_len: u8, kind: &'static str) -> Special {
    Special {
        range: IpNet::new_assert(IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix_len),
        kind,
        by_name: false,
    }
}

const fn by_name(special: Special) -> Special {
    Special {
        by_name: true,
        ..special
    }
}

/// The first that holds an address says what it is. From the registries of special-purpose addresses,
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const SPECIAL: [Special; 28] = [
    v4([0, 0, 0, 0], 8, "unspecified"),
    v4([10, 0, 0, 0], 8, "private"),
    v4([100, 64, 0, 0], 10, "shared"),
    v4([127, 0, 0, 0], 8, "loopback"),
    // 169.254.169.254 is the instance's metadata, 169.254.170.2 a container's credentials.
    by_name(v4([169, 254, 0, 0], 16, "link-local")),
    v4([172, 16, 0, 0], 12, "private"),
    v4([192, 0, 0, 0], 24, "reserved"),
    v4([192, 0, 2, 0], 24, "documentation"),
    v4([192, 88, 99, 0], 24, "reserved"),
    v4([192, 168, 0, 0], 16, "private"),
    v4([198, 18, 0, 0], 15, "benchmarking"),
    v4([198, 51, 100, 0], 24, "documentation"),
    v4([203, 0, 113, 0], 24, "documentation"),
    v4([224, 0, 0, 0], 4, "multicast"),
    v4([255, 255, 255, 255], 32, "broadcast"),
    v4([240, 0, 0, 0], 4, "reserved"),
    v6(0, 128, "unspecified"),
    v6(1, 128, "loopback"),
    // Wraps IPv4 addresses in ways only its own network knows.
    by_name(v6(0x0064_ff9b_0001 << 80, 48, "local translation")),
    // fd00:ec2::254 is the instance's metadata, fd00:ec2::23 a pod's credentials:
    // <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>.
    by_name(v6(0xfd00_0ec2 << 96, 32, "metadata")),
    v6(0xfc00 << 112, 7, "private"),
    by_name(v6(0xfe80 << 112, 10, "link-local")),
    v6(0xfec0 << 112, 10, "private"),
    v6(0xff00 << 112, 8, "multicast"),
    v6(0x2001 << 112, 23, "reserved"),
    v6(0x2001_0db8 << 96, 32, "documentation"),
    v6(0x3fff << 112, 20, "documentation"),
    // The 6bone's, given back.
    v6(0x3ffe << 112, 16, "reserved"),
];

/// IPv6 addresses that are given out to the public so far.
const GLOBAL_UNICAST: IpNet = IpNet::new_assert(IpAddr::V6(Ipv6Addr::from_bits(0x2000 << 112)), 3);

impl AddressPolicy {
    /// Whether an address may be connected to.
    ///
    /// One that wraps IPv4 addresses is judged by those: what is sent to it goes there.
    ///
    /// # Errors
    /// Says what the address is instead of public.
    pub fn check(&self, ip: IpAddr) -> Result<(), RefusedAddress> {
        let wrapped = match ip {
            IpAddr::V4(_) => [None, None],
            IpAddr::V6(ip) => wrapped(ip),
        };
        if wrapped != [None, None] {
            return wrapped
                .into_iter()
                .flatten()
                .try_for_each(|ip| self.check(ip.into()));
        }
        let special = SPECIAL.iter().find(|special| special.range.contains(&ip));
        let (kind, by_name) = match special {
            Some(special) => (special.kind, special.by_name),
            None if ip.is_ipv4() || GLOBAL_UNICAST.contains(&ip) => return Ok(()),
            None => ("reserved", false),
        };
        let allows = |range: &&IpNet| {
            range.contains(&ip) && (!by_name || special.is_some_and(|special| special.range.contains(*range)))
        };
        match self.allowed.iter().find(allows) {
            Some(_) => Ok(()),
            None => Err(RefusedAddress { ip, kind, by_name }),
        }
    }
}

/// The IPv4 addresses that what is sent to an IPv6 address goes to, if it is of a form that wraps some.
fn wrapped(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match ip.segments() {
        // Unspecified and loopback are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // Compatible, mapped, translated (RFC 4291, RFC 2765); NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [v4(high, low), None],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [v4(high, low), None],
        // Teredo (RFC 4380): the server, and the client with all bits turned.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            [v4(server_high, server_low), v4(!high, !low)]
        }
        _ => [None, None],
    }
}

/// Ranges in CIDR notation with commas between them; nothing for none.
impl FromStr for AddressPolicy {
    type Err = RangeError;

    fn from_str(ranges: &str) -> Result<Self, RangeError> {
        if ranges.trim().is_empty() {
            return Ok(Self::default());
        }
        let allowed: Result<_, _> = ranges.split(',').map(str::trim).map(range).collect();
        Ok(Self { allowed: allowed? })
    }
}

fn range(entry: &str) -> Result<IpNet, RangeError> {
    let error = |problem, expected: String| {
        Err(RangeError {
            entry: entry.to_owned(),
            problem,
            expected,
        })
    };
    if let Ok(ip) = entry.parse::<IpAddr>() {
        let own = IpNet::from(ip);
        return error(
            "is an address without a prefix length",
            format!("`{own}` for it alone"),
        );
    }
    let Ok(range) = entry.parse::<IpNet>() else {
        return error(
            "is no range in CIDR notation",
            "ranges such as `10.0.0.0/8` or `fd12:3456::/32`, with commas between them".to_owned(),
        );
    };
    if range != range.trunc() {
        return error("has bits set behind its prefix", format!("`{}`", range.trunc()));
    }
    // It would never match: such addresses are judged by what they wrap.
    if let IpNet::V6(v6) = range
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix_len) = v6.prefix_len().checked_sub(96)
    {
        return error("wraps IPv4 addresses", format!("`{v4}/{prefix_len}`"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(ranges: &str) -> AddressPolicy {
        ranges.parse().unwrap()
    }

    /// What an address is, or `public`.
    fn kind(policy: &AddressPolicy, ip: &str) -> &'static str {
        let checked = policy.check(ip.parse().unwrap());
        checked.map_or_else(|refused| refused.kind, |()| "public")
    }

    #[test]
    fn p11_only_public_addresses_are_taken_where_nothing_is_allowed() {
        // First and last of each range, and the neighbours.
        let cases = [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "unspecified"),
            ("1.0.0.0", "public"),
            ("9.255.255.255", "public"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("11.0.0.0", "public"),
            ("100.63.255.255", "public"),
            ("100.64.0.0", "shared"),
            ("100.100.100.200", "shared"),
            ("100.127.255.255", "shared"),
            ("100.128.0.0", "public"),
            ("126.255.255.255", "public"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("128.0.0.0", "public"),
            ("140.82.121.4", "public"),
            ("169.253.255.255", "public"),
            ("169.254.0.0", "link-local"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("169.254.255.255", "link-local"),
            ("169.255.0.0", "public"),
            ("172.15.255.255", "public"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("172.32.0.0", "public"),
            ("192.0.0.0", "reserved"),
            ("192.0.0.192", "reserved"),
            ("192.0.1.0", "public"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "reserved"),
            ("192.167.255.255", "public"),
            ("192.168.0.0", "private"),
            ("192.168.255.255", "private"),
            ("192.169.0.0", "public"),
            ("198.17.255.255", "public"),
            ("198.18.0.0", "benchmarking"),
            ("198.19.255.255", "benchmarking"),
            ("198.20.0.0", "public"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("223.255.255.255", "public"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.0", "reserved"),
            ("255.255.255.254", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("64:ff9b:1::1", "local translation"),
            ("100::1", "reserved"),
            ("1fff:ffff::1", "reserved"),
            ("2000::1", "public"),
            ("2001:2::1", "reserved"),
            ("2001:10::1", "reserved"),
            ("2001:1ff:ffff::1", "reserved"),
            ("2001:200::1", "public"),
            ("2001:db8::1", "documentation"),
            ("2606:50c0:8000::153", "public"),
            ("2a02:26f0::1", "public"),
            ("3ffe::1", "reserved"),
            ("3fff::1", "documentation"),
            ("3fff:0fff:ffff::1", "documentation"),
            ("3fff:1000::1", "public"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fbff::1", "reserved"),
            ("fc00::1", "private"),
            ("fd00:ec1:ffff::1", "private"),
            ("fd00:ec2::", "metadata"),
            ("fd00:ec2::23", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("fd00:ec3::", "private"),
            ("fdff::1", "private"),
            ("fe00::1", "reserved"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ];
        for (ip, expected) in cases {
            assert_eq!(kind(&AddressPolicy::default(), ip), expected, "{ip}");
        }
    }

    #[test]
    fn p11_an_address_that_wraps_another_is_judged_by_that() {
        // Each form of 140.82.121.4, 127.0.0.1, 10.1.2.3 and 169.254.169.254.
        let forms = [
            ("::ffff:", "8c52:7904", "7f00:1", "a01:203", "a9fe:a9fe", ""),
            ("::ffff:0:", "8c52:7904", "7f00:1", "a01:203", "a9fe:a9fe", ""),
            ("::", "8c52:7904", "7f00:1", "a01:203", "a9fe:a9fe", ""),
            ("64:ff9b::", "8c52:7904", "7f00:1", "a01:203", "a9fe:a9fe", ""),
            ("2002:", "8c52:7904", "7f00:1", "a01:203", "a9fe:a9fe", "::1"),
            // Of a Teredo address the server, the client being public; and the client, the server being so.
            (
                "2001:0:",
                "8c52:7904",
                "7f00:1",
                "a01:203",
                "a9fe:a9fe",
                ":0:0:73ad:86fb",
            ),
            (
                "2001:0:8c52:7904::",
                "73ad:86fb",
                "80ff:fffe",
                "f5fe:fdfc",
                "5601:5601",
                "",
            ),
        ];
        let (none, ten) = (AddressPolicy::default(), policy("10.0.0.0/8"));
        for (before, public, loopback, private, metadata, after) in forms {
            let is = |policy: &AddressPolicy, hex: &str| kind(policy, &format!("{before}{hex}{after}"));
            assert_eq!(is(&none, public), "public", "{before}");
            assert_eq!(is(&none, loopback), "loopback", "{before}");
            assert_eq!(is(&none, private), "private", "{before}");
            assert_eq!(is(&none, metadata), "link-local", "{before}");
            assert_eq!(is(&ten, private), "public", "{before}");
            // Nor does a range of the form itself open what it wraps.
            let all = policy("::/0");
            assert_eq!(is(&all, private), "private", "{before}");
        }
    }

    #[test]
    fn p11_a_range_allows_what_it_holds() {
        let cases = [
            ("10.0.0.0/8", "10.1.2.3", "public"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "public"),
            ("10.0.0.0/8", "11.0.0.1", "public"),
            ("10.0.0.0/8", "192.168.0.1", "private"),
            ("10.0.0.0/8", "127.0.0.1", "loopback"),
            ("10.1.2.3/32", "10.1.2.4", "private"),
            (" 192.168.0.0/16 , fd12::/16", "192.168.3.4", "public"),
            ("192.168.0.0/16,fd12::/16", "fd12::1", "public"),
            ("192.168.0.0/16,fd12::/16", "fd13::1", "private"),
            ("127.0.0.0/8", "127.0.0.1", "public"),
            ("127.0.0.0/8", "::1", "loopback"),
            ("::1/128", "::1", "public"),
            ("4000::/16", "4000::1", "public"),
            // Nothing that is everything opens these; only their own name does.
            ("0.0.0.0/0", "10.0.0.1", "public"),
            ("0.0.0.0/0", "169.254.169.254", "link-local"),
            ("169.0.0.0/8", "169.254.169.254", "link-local"),
            ("169.254.0.0/16", "169.254.169.254", "public"),
            ("169.254.9.0/24", "169.254.9.1", "public"),
            ("169.254.9.0/24", "169.254.169.254", "link-local"),
            ("::/0", "fd00::1", "public"),
            ("::/0", "fd00:ec2::254", "metadata"),
            ("fd00::/8", "fd00:ec2::254", "metadata"),
            ("fd00:ec2::254/128", "fd00:ec2::254", "public"),
            ("fd00:ec2::254/128", "fd00:ec2::23", "metadata"),
            ("::/0", "fe80::1", "link-local"),
            ("fe80::/10", "fe80::1", "public"),
            ("::/0", "64:ff9b:1::a9fe:a9fe", "local translation"),
            ("64:ff9b:1::/48", "64:ff9b:1::1", "public"),
        ];
        for (ranges, ip, expected) in cases {
            assert_eq!(kind(&policy(ranges), ip), expected, "{ip} with {ranges}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_allow_it() {
        let refusal = |ip: &str| {
            let refused = AddressPolicy::default().check(ip.parse().unwrap()).unwrap_err();
            refused.to_string()
        };
        assert_eq!(
            refusal("::ffff:10.1.2.3"),
            "private address 10.1.2.3 is not in AllowedPrivateRanges"
        );
        assert_eq!(
            refusal("fd00:ec2::254"),
            "metadata address fd00:ec2::254 is not named in AllowedPrivateRanges"
        );
    }

    #[test]
    fn no_ranges_are_none() {
        for none in ["", " ", "\n"] {
            assert_eq!(policy(none), AddressPolicy::default(), "{none:?}");
        }
    }

    #[test]
    fn a_range_that_is_none_is_told_with_what_would_be_right() {
        const FORM: &str = "is no range in CIDR notation; expected ranges such as `10.0.0.0/8` or `fd12:3456::/32`, with \
                            commas between them";
        let cases = [
            (
                "10.0.0.5",
                "`10.0.0.5` is an address without a prefix length; expected `10.0.0.5/32` for it alone"
                    .to_owned(),
            ),
            (
                "::1",
                "`::1` is an address without a prefix length; expected `::1/128` for it alone".to_owned(),
            ),
            (
                "10.0.0.0/8,10.1.2.3/16",
                "`10.1.2.3/16` has bits set behind its prefix; expected `10.1.0.0/16`".to_owned(),
            ),
            (
                "::ffff:10.0.0.0/104",
                "`::ffff:10.0.0.0/104` wraps IPv4 addresses; expected `10.0.0.0/8`".to_owned(),
            ),
            ("10.0.0.0/33", format!("`10.0.0.0/33` {FORM}")),
            ("10.0.0.0/8,", format!("`` {FORM}")),
            (
                "10.0.0.0/8 172.16.0.0/12",
                format!("`10.0.0.0/8 172.16.0.0/12` {FORM}"),
            ),
            ("10.0.0.0/255.0.0.0", format!("`10.0.0.0/255.0.0.0` {FORM}")),
            ("gitlab.corp.example", format!("`gitlab.corp.example` {FORM}")),
        ];
        for (ranges, expected) in cases {
            let error = ranges.parse::<AddressPolicy>().unwrap_err();
            assert_eq!(error.to_string(), expected, "{ranges}");
        }
    }
}
