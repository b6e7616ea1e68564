//! Asks an address until it answers well: what `helm test` runs, in an image without a shell.

use crate::arguments::Probe;
use crate::http;
use crate::{Outcome, say};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &Probe) -> Result<Outcome> {
    let Some((authority, path)) = split(&arguments.address) else {
        bail!("{:?} is not like http://host:port/path", arguments.address);
    };
    let deadline = Instant::now() + arguments.time;
    loop {
        let answer = http::get(&authority, path);
        match &answer {
            Ok((200, _)) => {
                say(format_args!("{} answers 200", arguments.address));
                return Ok(Outcome::Good);
            }
            _ if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Ok((code, body)) => {
                say(format_args!("{} answers {code}: {}", arguments.address, body.trim()));
                return Ok(Outcome::Bad);
            }
            Err(error) => {
                say(format_args!("{} does not answer: {error:#}", arguments.address));
                return Ok(Outcome::Bad);
            }
        }
    }
}

/// `host:port` and the path.
fn split(address: &str) -> Option<(String, &str)> {
    let rest = address.strip_prefix("http://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    Some((authority, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::split;

    fn check(address: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(authority, path)| (authority.to_owned(), path));
        assert_eq!(split(address), expected, "{address}");
    }

    #[test]
    fn an_address_has_a_port_and_a_path() {
        check("http://operator:8080/readyz", Some(("operator:8080", "/readyz")));
        check("http://operator", Some(("operator:80", "/")));
        check("http://[::1]:8080", Some(("[::1]:8080", "/")));
        check("https://operator", None);
    }
}
