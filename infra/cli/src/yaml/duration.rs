//! Durations as Go writes them.

/// Whole seconds of a Go duration; `None` if it is no duration or no whole number of seconds.
pub(crate) fn whole_seconds(text: &str) -> Option<u64> {
    // Longest first: `ms` is no minute.
    const UNITS: [(&str, u64); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", NANOSECONDS),
        ("m", 60 * NANOSECONDS),
        ("h", 3600 * NANOSECONDS),
    ];
    const NANOSECONDS: u64 = 1_000_000_000;

    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let whole: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let fraction = match rest.strip_prefix('.') {
            None => "",
            Some(after) => {
                let digits = after.find(|c: char| !c.is_ascii_digit())?;
                rest = &after[digits..];
                &after[..digits]
            }
        };
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(whole.checked_mul(*nanoseconds)?)?;
        let mut part = *nanoseconds;
        for digit in fraction.bytes() {
            part /= 10;
            total = total.checked_add(part.checked_mul(u64::from(digit - b'0'))?)?;
        }
    }
    (!text.is_empty() && total.is_multiple_of(NANOSECONDS)).then_some(total / NANOSECONDS)
}

#[cfg(test)]
mod tests {
    use super::whole_seconds;

    #[test]
    fn reads_durations_as_go_does() {
        let cases = [
            ("30s", Some(30)),
            ("1m", Some(60)),
            ("1m0s", Some(60)),
            ("0.5m", Some(30)),
            ("1.5s500ms", Some(2)),
            ("1h", Some(3600)),
            ("0s", Some(0)),
            ("1500ms", None),
            ("30", None),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5 s", None),
            ("99999999999999999999s", None),
            ("9999999999999h", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(whole_seconds(text), seconds, "{text}");
        }
    }
}
