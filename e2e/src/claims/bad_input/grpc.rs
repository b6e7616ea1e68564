//! Calls whose frames are made by hand, over one connection.

use super::Verdict;
use super::cases::Case;
use anyhow::{Context, Result};
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{HeaderMap, Request};
use std::net::TcpStream;
use std::time::Duration;
use tokio::time::timeout;

const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// Makes the calls one after the other, and hands each answer over.
pub(super) fn call_all(
    stream: TcpStream,
    cases: &[Case],
    judge: &mut impl FnMut(&Case, Result<Verdict>),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let (calls, connection) = client::handshake(stream).await.context("shake hands")?;
        let connection = tokio::spawn(connection);
        for case in cases {
            let answer = timeout(CALL_TIME_MAX, call(calls.clone(), case)).await;
            judge(case, answer.context("no answer").flatten());
        }
        drop(calls);
        connection.await?.context("the connection broke")
    })
}

async fn call(calls: SendRequest<Bytes>, case: &Case) -> Result<Verdict> {
    let mut request = Request::builder()
        .method(case.method)
        .uri(format!("http://agent{}", case.path))
        .header("content-type", case.content_type)
        .header("te", "trailers");
    if !case.encoding.is_empty() {
        request = request.header("grpc-encoding", case.encoding);
    }
    let mut calls = calls.ready().await?;
    let (response, mut stream) = calls.send_request(request.body(())?, false)?;
    stream.send_data(Bytes::copy_from_slice(&case.body), true)?;
    let (head, mut body) = response.await?.into_parts();
    if head.status != 200 {
        return Ok(Verdict::Http(head.status.as_u16()));
    }
    if let Some(code) = code(&head.headers)? {
        return Ok(Verdict::Grpc(code));
    }
    while body.data().await.transpose()?.is_some() {}
    let trailers = body.trailers().await?.context("no trailers")?;
    Ok(Verdict::Grpc(code(&trailers)?.context("no grpc-status")?))
}

fn code(headers: &HeaderMap) -> Result<Option<u16>> {
    let code = headers.get("grpc-status").map(|code| Ok(code.to_str()?.parse()?));
    code.transpose()
}
