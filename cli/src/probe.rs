//! Asks an address until it answers well: what `helm test` runs, in an image without a shell.

use crate::arguments::Probe;
use crate::{Outcome, say};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Of one attempt.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// What is read of an answer, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

pub(crate) fn run(arguments: &Probe) -> Result<Outcome> {
    let Some((authority, path)) = split(&arguments.address) else {
        bail!("{:?} is not like http://host:port/path", arguments.address);
    };
    let deadline = Instant::now() + arguments.time;
    loop {
        let answer = ask(&authority, path);
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

/// The status code and the body of one GET.
fn ask(authority: &str, path: &str) -> Result<(u16, String)> {
    let address = authority.to_socket_addrs()?.next().context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((code.context("the answer is not HTTP")?, body.to_owned()))
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
