//! HTTP/1.1 over a plain socket, both ways. A request is bytes, so it may be as wrong as a claim
//! needs it to be.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than an agent waits for an unknown peer's pod to show up.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// A request or an answer.
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads one; its body has a told length.
    pub(crate) fn read(reader: &mut impl BufRead) -> Result<Self> {
        let start = line(reader)?;
        ensure!(!start.is_empty(), "the peer closed the connection");
        let mut headers = Vec::new();
        loop {
            let line = line(reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        let length = message.header("content-length").unwrap_or("0").parse()?;
        message.body.resize(length, 0);
        reader.read_exact(&mut message.body).context("the body was cut short")?;
        Ok(message)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> Result<u16> {
        let status = self.start.split(' ').nth(1).context("no status")?;
        Ok(status.parse()?)
    }
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

pub(crate) fn connect(host: &str, port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).with_context(|| format!("{host}:{port}"))?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    Ok(stream)
}

/// Sends a request and reads the answer, which may come before all of the request was taken.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<Message> {
    if let Err(error) = stream.write_all(request)
        && !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    {
        return Err(error.into());
    }
    Message::read(&mut BufReader::new(stream))
}

/// The body of a page that is there.
pub(crate) fn get(host: &str, port: u16, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(&mut connect(host, port)?, request.as_bytes())?;
    ensure!(answer.status()? == 200, "{path}: {}", answer.start);
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
