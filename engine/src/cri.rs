//! One line of a container's log file as the container runtime writes it (CRI): time, stream, flag, content.
//!
//! <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>
//! Joining partial lines is `pod_logs::joiner`'s work.

use serde::{Deserialize, Serialize};

/// The most that stands before the content: 35 bytes of time, the stream, tags, and their spaces.
pub const HEADER_BYTES_MAX: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time_unix_nano: u64,
    pub stream: Stream,
    /// False: the record goes on in the next line of the same stream.
    pub complete: bool,
    pub content: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The line was not written by a container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCri;

impl Stream {
    /// The value of `log.iostream`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Reads a line without its line feed.
///
/// # Errors
/// [`NotCri`] when it is not of the form `<RFC 3339 time> stdout|stderr P|F[:tags] <content>`.
pub fn parse(line: &[u8]) -> Result<Line<'_>, NotCri> {
    let (time_unix_nano, rest) = time(line).ok_or(NotCri)?;
    let (stream, rest) = stream(rest).ok_or(NotCri)?;
    let (complete, rest) = match rest.split_first() {
        Some((b'F', rest)) => (true, rest),
        Some((b'P', rest)) => (false, rest),
        _ => return Err(NotCri),
    };
    let content = match rest.split_first() {
        None => rest,
        Some((b' ', content)) => content,
        Some((b':', _)) => after_tags(rest, line.len() - rest.len())?,
        Some(_) => return Err(NotCri),
    };
    Ok(Line { time_unix_nano, stream, complete, content })
}

fn stream(rest: &[u8]) -> Option<(Stream, &[u8])> {
    let (name, rest) = rest.split_at_checked(b"stdout ".len())?;
    match name {
        b"stdout " => Some((Stream::Stdout, rest)),
        b"stderr " => Some((Stream::Stderr, rest)),
        _ => None,
    }
}

/// Tags beyond the first are reserved: they are passed over, and end where the header must.
fn after_tags(rest: &[u8], taken: usize) -> Result<&[u8], NotCri> {
    let room = HEADER_BYTES_MAX.saturating_sub(taken).min(rest.len());
    let space = memchr::memchr(b' ', &rest[..room]).ok_or(NotCri)?;
    Ok(&rest[space + 1..])
}

/// `YYYY-MM-DDThh:mm:ss[.1-9 digits](Z|±hh:mm)` and the space after it.
fn time(line: &[u8]) -> Option<(u64, &[u8])> {
    let (fixed, rest) = line.split_at_checked(19)?;
    let separated = fixed[4] == b'-'
        && fixed[7] == b'-'
        && fixed[10] == b'T'
        && fixed[13] == b':'
        && fixed[16] == b':';
    let year = two(fixed, 0)? * 100 + two(fixed, 2)?;
    let (month, day) = (two(fixed, 5)?, two(fixed, 8)?);
    let (hour, minute, second) = (two(fixed, 11)?, two(fixed, 14)?, two(fixed, 17)?);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !separated || !in_range {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let (offset_seconds, rest) = zone(rest)?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - offset_seconds;
    let seconds = u64::try_from(seconds).ok()?;
    Some((seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?, rest))
}

fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// Runtimes trim trailing zeros, and the point with them.
fn fraction(rest: &[u8]) -> Option<(u64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else {
        return Some((0, rest));
    };
    let mut nanos = 0;
    let mut unit = 100_000_000;
    let mut count = 0;
    while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        nanos += u64::from(digit) * unit;
        unit /= 10;
        count += 1;
    }
    (1..=9).contains(&count).then(|| (nanos, &digits[count..]))
}

fn zone(rest: &[u8]) -> Option<(i64, &[u8])> {
    if let Some(rest) = rest.strip_prefix(b"Z ") {
        return Some((0, rest));
    }
    let (zone, rest) = rest.split_at_checked(b"+00:00 ".len())?;
    let offset = two(zone, 1)? * 3600 + two(zone, 4)? * 60;
    match (zone[0], zone[3], zone[6]) {
        (b'+', b':', b' ') => Some((offset, rest)),
        (b'-', b':', b' ') => Some((-offset, rest)),
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let shown = match parse(line.as_bytes()) {
            Err(NotCri) => "not CRI".to_owned(),
            Ok(line) => format!(
                "{} {} {} [{}]",
                line.time_unix_nano,
                line.stream.as_str(),
                if line.complete { "full" } else { "part" },
                String::from_utf8_lossy(line.content)
            ),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_full_line_has_time_stream_and_content() {
        check(
            "2016-10-06T00:17:09.669794202Z stdout F hello  world ",
            "1475713029669794202 stdout full [hello  world ]",
        );
    }

    #[test]
    fn a_partial_line_says_so() {
        check("1970-01-01T00:00:01Z stderr P abc", "1000000000 stderr part [abc]");
    }

    #[test]
    fn trimmed_fractions_and_offsets_are_read() {
        check("2024-02-29T23:59:60.5+01:30 stdout F x", "1709245800500000000 stdout full [x]");
        check("2000-03-01T00:00:00-00:00 stdout F x", "951868800000000000 stdout full [x]");
    }

    #[test]
    fn content_may_be_empty_and_tags_are_passed_over() {
        check("1970-01-01T00:00:01Z stdout F ", "1000000000 stdout full []");
        check("1970-01-01T00:00:01Z stdout F", "1000000000 stdout full []");
        check("1970-01-01T00:00:01Z stdout P:a:b c d", "1000000000 stdout part [c d]");
    }

    #[test]
    fn anything_else_is_not_cri() {
        for line in [
            "",
            "plain words",
            "{\"log\":\"docker's own format\\n\",\"stream\":\"stdout\"}",
            "2016-13-06T00:17:09Z stdout F x",
            "2016-10-06T00:17:09. stdout F x",
            "2016-10-06T00:17:09.1234567890Z stdout F x",
            "2016-10-06T00:17:09Z stdlog F x",
            "2016-10-06T00:17:09Z stdout X x",
            "2016-10-06T00:17:09Z stdout Full x",
            "2016-10-06T00:17:09Z stdout F:endless",
            "1969-12-31T23:59:59Z stdout F x",
            "9999-10-06T00:17:09Z stdout F x",
        ] {
            check(line, "not CRI");
        }
    }
}
