//! Numbers in statuses: few digits, and written anew only when they moved.

/// A number is rewritten when it moved by more than this share.
const MOVED_PERCENT: f64 = 10.0;
/// Shares between nothing and this many percent of a percent are shown as that.
const SHARE_MIN: f64 = 0.0001;

/// A rate: the text shown before, unless it moved.
pub(super) fn rate(rate: f64, before: Option<&str>) -> String {
    match before {
        Some(before) if !has_moved(before, rate) => before.to_owned(),
        _ => two_digits(rate),
    }
}

pub(super) fn has_moved(text: &str, rate: f64) -> bool {
    let Ok(before) = text.parse::<f64>() else { return true };
    (before == 0.0) != (two_digits(rate) == "0") || moved(before, rate)
}

fn moved(before: f64, after: f64) -> bool {
    (after - before).abs() > before * MOVED_PERCENT / 100.0
}

/// With two significant digits; less than a thing in 200 seconds is 0.
pub(super) fn two_digits(rate: f64) -> String {
    if !rate.is_finite() || rate < 0.005 {
        return "0".to_owned();
    }
    let (rounded, decimals) = rounded(rate, 2);
    trimmed(rounded, decimals)
}

/// Two significant digits of a positive number, and how many decimals to write of it.
fn rounded(number: f64, decimals_max: usize) -> (f64, usize) {
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a finite number is small")]
    let magnitude = number.log10().floor() as i32;
    let step = 10f64.powi(magnitude - 1);
    let decimals = usize::try_from(1 - magnitude).unwrap_or(0).min(decimals_max);
    ((number / step).round() * step, decimals)
}

fn trimmed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A part of a whole in percent: the text shown before, unless it or the rest moved. Empty when
/// there is no whole.
pub(super) fn share(part: u64, whole: u64, before: Option<&str>) -> String {
    if whole == 0 {
        return String::new();
    }
    let after = percent(part, whole);
    match before.and_then(|text| text.parse::<f64>().ok().map(|number| (text, number))) {
        Some((text, before)) if !share_moved(before, after) => text.to_owned(),
        _ => percent_text(after),
    }
}

#[expect(clippy::cast_precision_loss, reason = "few digits of it are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    match part {
        0 => 0.0,
        part if part >= whole => 100.0,
        part => (part as f64 * 100.0 / whole as f64).clamp(SHARE_MIN, 100.0 - SHARE_MIN),
    }
}

fn share_moved(before: f64, after: f64) -> bool {
    let is_end = |percent: f64| percent <= 0.0 || percent >= 100.0;
    (is_end(before) || is_end(after)) && (before - after).abs() > f64::EPSILON
        || moved(before, after)
        || moved(100.0 - before, 100.0 - after)
}

/// Two significant digits of the part or of the rest, whichever is smaller: 99.97 is not 100.
fn percent_text(percent: f64) -> String {
    if percent <= 0.0 || percent >= 100.0 {
        return trimmed(percent, 0);
    }
    let smaller = percent.min(100.0 - percent);
    let (rounded, decimals) = rounded(smaller, 4);
    trimmed(if percent > 50.0 { 100.0 - rounded } else { rounded }, decimals)
}

/// Bytes as a quantity: the text shown before, unless they moved.
pub(super) fn memory(bytes: u64, before: Option<&str>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let before = before.and_then(|before| before.strip_suffix("Mi"));
    format!("{}Mi", rate(mebibytes, before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_significant_digits() {
        for (rate, expected) in [
            (0.0, "0"),
            (0.001, "0"),
            (0.0123, "0.01"),
            (0.456, "0.46"),
            (0.999, "1"),
            (1.0, "1"),
            (3.24, "3.2"),
            (9.96, "10"),
            (812.3, "810"),
            (123_456.0, "120000"),
        ] {
            assert_eq!(two_digits(rate), expected, "{rate}");
        }
    }

    #[test]
    fn shares_near_nothing_and_all_have_more_digits() {
        for (part, whole, expected) in [
            (0, 0, ""),
            (0, 5, "0"),
            (5, 5, "100"),
            (131, 10_000, "1.3"),
            (1, 10_000, "0.01"),
            (1, 1_000_000_000, "0.0001"),
            (9_997, 10_000, "99.97"),
            (999_999_999, 1_000_000_000, "99.9999"),
            (2, 3, "67"),
            (1, 2, "50"),
            (973, 1000, "97.3"),
        ] {
            assert_eq!(share(part, whole, None), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn numbers_are_rewritten_only_when_they_moved() {
        assert_eq!(rate(109.0, Some("100")), "100");
        assert_eq!(rate(111.0, Some("100")), "110");
        assert_eq!(rate(0.0, Some("100")), "0");
        assert_eq!(share(104, 10_000, Some("1")), "1");
        assert_eq!(share(120, 10_000, Some("1")), "1.2");
        assert_eq!(share(9_980, 10_000, Some("99.9")), "99.8", "twice as much is lost");
        assert_eq!(share(10_000, 10_000, Some("99.99")), "100");
        assert_eq!(memory(1_290 << 20, Some("1200Mi")), "1200Mi");
        assert_eq!(memory(1_400 << 20, Some("1200Mi")), "1400Mi");
    }
}
