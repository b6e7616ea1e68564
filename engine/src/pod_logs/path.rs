//! File names below `/var/log/pods`, parsed strictly: nothing is opened or labelled from a name that the kubelet would not write.
//!
//! `<namespace>_<pod>_<uid>/<container>/<restarts>.log[.<rotated at>]`

use std::fmt;

/// `<namespace>_<pod>_<uid>`: who writes what lies below. Kubernetes names hold no underscore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodFolder {
    pub namespace: String,
    pub pod: String,
    pub uid: String,
}

/// `<restarts>.log` or `<restarts>.log.<rotated at>`, ordered from old to new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// How often the container was restarted before it wrote this file.
    pub restarts: u32,
    pub age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Age {
    /// Renamed by the kubelet; the digits of `YYYYMMDD-hhmmss`.
    Rotated(u64),
    Live,
}

impl PodFolder {
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('_');
        let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
        let known = is_name(namespace, 63, false)
            && is_name(pod, 253, true)
            && is_name(uid, 64, false)
            && parts.next().is_none();
        known.then(|| Self { namespace: namespace.into(), pod: pod.into(), uid: uid.into() })
    }
}

impl fmt::Display for PodFolder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}_{}_{}", self.namespace, self.pod, self.uid)
    }
}

/// Whether a folder's name can be a container's.
pub fn is_container(name: &str) -> bool {
    is_name(name, 63, false)
}

fn is_name(name: &str, length_max: usize, dots: bool) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=length_max).contains(&name.len())
        && name.bytes().all(|byte| inner(byte) || byte == b'-' || (dots && byte == b'.'))
        && name.bytes().next().is_some_and(inner)
        && name.bytes().next_back().is_some_and(inner)
}

impl LogName {
    /// `None` for what is no log to read: compressed files, temporary ones, strangers.
    pub fn parse(name: &str) -> Option<Self> {
        let (restarts, rest) = name.split_once(".log")?;
        if restarts.len() > 1 && restarts.starts_with('0') {
            return None;
        }
        let restarts = digits(restarts, 1..=9)?.try_into().ok()?;
        if rest.is_empty() {
            return Some(Self { restarts, age: Age::Live });
        }
        let (day, second) = rest.strip_prefix('.')?.split_once('-')?;
        let rotated_at = digits(day, 8..=8)? * 1_000_000 + digits(second, 6..=6)?;
        Some(Self { restarts, age: Age::Rotated(rotated_at) })
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.age {
            Age::Live => write!(out, "{}.log", self.restarts),
            Age::Rotated(at) => {
                write!(out, "{}.log.{:08}-{:06}", self.restarts, at / 1_000_000, at % 1_000_000)
            }
        }
    }
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let plain = lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_folder_names_namespace_pod_and_uid() {
        let folder = PodFolder::parse("shop_cart-7f9.x_0a1b-22").unwrap();
        assert_eq!(
            (&*folder.namespace, &*folder.pod, &*folder.uid),
            ("shop", "cart-7f9.x", "0a1b-22")
        );
    }

    #[test]
    fn names_that_the_kubelet_does_not_write_are_refused() {
        for name in
            ["", "a", "a_b", "a_b_c_d", "A_b_c", "a.b_c_d", "_b_c", "a_.._c", "a_b_..", "a_b_c/d"]
        {
            assert_eq!(PodFolder::parse(name), None, "{name}");
        }
        for name in ["..", ".", "", "a/b", "A", "-a", "a.b"] {
            assert!(!is_container(name), "{name}");
        }
    }

    #[test]
    fn log_names_sort_from_old_to_new() {
        let names = ["1.log", "0.log", "0.log.20260102-030406", "0.log.20260102-030405", "10.log"];
        assert_eq!(names.map(|name| LogName::parse(name).unwrap().to_string()), names);
        let mut parsed: Vec<_> = names.map(|name| (LogName::parse(name).unwrap(), name)).into();
        parsed.sort();
        let sorted: Vec<_> = parsed.into_iter().map(|(_, name)| name).collect();
        assert_eq!(
            sorted,
            ["0.log.20260102-030405", "0.log.20260102-030406", "0.log", "1.log", "10.log"]
        );
    }

    #[test]
    fn compressed_and_strange_files_are_no_logs() {
        for name in [
            "0.log.20260102-030405.gz",
            "0.log.20260102-030405.tmp",
            "0.log.gz",
            ".log",
            "x.log",
            "0.log.",
            "+1.log",
            "00.log",
            "9999999999.log",
        ] {
            assert_eq!(LogName::parse(name), None, "{name}");
        }
    }
}
