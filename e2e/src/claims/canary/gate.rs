//! A destination that lets in who shows the right token. To anybody else it tells, as the rudest
//! of servers do, which token it was shown.

use crate::http::Message;
use crate::kubectl::kubectl;
use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct Gate {
    port: u16,
    admitted: Admitted,
}

/// The bodies of the requests that were let in.
type Admitted = Arc<Mutex<Vec<Vec<u8>>>>;

impl Gate {
    /// Stands until this program ends.
    pub(super) fn open(token: &str) -> Result<Self> {
        let listener = TcpListener::bind("0.0.0.0:0").context("open the gate")?;
        let port = listener.local_addr()?.port();
        let admitted = Admitted::default();
        let (bodies, wanted) = (Arc::clone(&admitted), format!("Bearer {token}"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bodies, wanted) = (Arc::clone(&bodies), wanted.clone());
                // Ends with the connection; a peer that goes away is no news.
                std::thread::spawn(move || serve(&stream, &wanted, &bodies));
            }
        });
        Ok(Self { port, admitted })
    }

    /// As pods reach it: by their node's address.
    pub(super) fn endpoint(&self) -> Result<String> {
        let path = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        Ok(format!("http://{}:{}", kubectl(&["get", "nodes", "-o", path])?, self.port))
    }

    /// `e2e.id` of every span that was let in.
    pub(super) fn ids(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for body in self.admitted.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let request = ExportTraceServiceRequest::decode(&body[..])?;
            let scopes = request.resource_spans.into_iter().flat_map(|block| block.scope_spans);
            let spans = scopes.flat_map(|scope| scope.spans);
            let attributes = spans.flat_map(|span| span.attributes);
            let values = attributes.filter(|own| own.key == "e2e.id").filter_map(|own| own.value);
            ids.extend(values.filter_map(|value| match value.value {
                Some(Value::StringValue(text)) => Some(text),
                _ => None,
            }));
        }
        Ok(ids)
    }
}

fn serve(stream: &TcpStream, wanted: &str, admitted: &Admitted) -> Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let request = Message::read(&mut reader)?;
        let shown = request.header("authorization").unwrap_or("nothing");
        if shown == wanted {
            admitted.lock().unwrap_or_else(PoisonError::into_inner).push(request.body);
            answer(&mut writer, "200 OK", &[])?;
        } else {
            answer(&mut writer, "401 Unauthorized", &status(&format!("not admitted: {shown}")))?;
        }
    }
}

fn answer(writer: &mut impl Write, status: &str, body: &[u8]) -> Result<()> {
    let (length, content_type) = (body.len(), "application/x-protobuf");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    writer.write_all(&[head.as_bytes(), body].concat())?;
    Ok(())
}

/// A `google.rpc.Status` with code 16 (UNAUTHENTICATED) and a message below 128 bytes.
fn status(message: &str) -> Vec<u8> {
    [&[0x08, 16, 0x12, message.len() as u8], message.as_bytes()].concat()
}
