//! The client of a step: sends the request as the scenario writes it, and tells what came back.

use anyhow::{Context, Result};
use hyper::Uri;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet};

use super::wire::{Outgoing, Pace, Part, Rewritten, http1, http2};
use crate::{
    outcome::{Cut, Message},
    scenario::{Protocol, Request},
};

/// What a client has heard so far, with its connection: it stays until the client is dropped, so that nobody
/// leaves because all was said that a head announces.
#[derive(Debug, Default)]
pub struct Client {
    pub message: Option<Message>,
    connection: Option<TcpStream>,
}

/// The answer to a request that is sent as it is written; `None` where the connection ends without one.
pub async fn answer(port: u16, protocol: Protocol, request: &Request) -> Result<Option<Message>> {
    let mut client = Client::default();
    send(&mut client, port, protocol, request, Cut::AsWritten, Pace::default()).await?;
    Ok(client.message)
}

/// Sends a request on a connection of its own. No message where the connection ends without a response.
/// The caller bounds the time.
pub async fn send(
    client: &mut Client,
    port: u16,
    protocol: Protocol,
    request: &Request,
    cut: Cut,
    pace: Pace,
) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("127.0.0.1:{port}"))?;
    stream.set_nodelay(true)?;
    let outgoing = Outgoing::new(&request.headers, request.body.as_ref(), &request.trailers, cut, protocol);
    match protocol {
        Protocol::Http1 => over_http1(client, stream, request, outgoing, pace).await,
        Protocol::Http2 => over_http2(&mut client.message, stream, request, &outgoing).await?,
    }
    Ok(())
}

async fn over_http1(client: &mut Client, mut stream: TcpStream, request: &Request, mut outgoing: Outgoing, pace: Pace) {
    let (reader, mut writer) = stream.split();
    let receiving = receive_http1(&mut client.message, http1::Reader::new(reader), &request.method);
    if let Some(raw) = &request.raw {
        // Who refuses it may close before all is written.
        let _ = writer.write_all(&raw.bytes()).await;
        receiving.await;
    } else {
        outgoing.lines.insert(0, ("host".into(), request.authority.clone().into_bytes()));
        let start = format!("{} {} HTTP/1.1", request.method, request.path);
        let sending = http1::write(&mut writer, &start, &outgoing, pace);
        tokio::pin!(sending, receiving);
        // A response may come before the request has ended, and then decides: what is still unsent stays so.
        tokio::select! {
            () = &mut receiving => {}
            _ = &mut sending => receiving.await,
        }
    }
    client.connection = Some(stream);
}

/// Hears the response, as far as it comes.
async fn receive_http1(
    heard: &mut Option<Message>,
    mut reader: http1::Reader<impl tokio::io::AsyncRead + Unpin>,
    method: &str,
) {
    while let Ok(Some((start, headers))) = reader.head().await {
        let status = start.split(' ').nth(1).unwrap_or_default().to_owned();
        // Interim responses are no answer (RFC 9110 §15.2).
        if status.len() == 3 && status.starts_with('1') {
            continue;
        }
        // What is no HTTP is no answer.
        let Some(framing) = http1::Framing::of_response(method, &status, &headers) else { return };
        let message = heard.insert(Message { start: status, headers, ..Message::default() });
        let end = reader.body(framing, |part| message.push(part)).await;
        message.complete = end.is_ok();
        return;
    }
}

async fn over_http2(
    heard: &mut Option<Message>,
    stream: TcpStream,
    request: &Request,
    outgoing: &Outgoing,
) -> Result<()> {
    let uri = Uri::builder().scheme("http").authority(request.authority.as_str()).path_and_query(request.path.as_str());
    let uri = uri.build().with_context(|| format!("HTTP/2 can't carry {}{}", request.authority, request.path))?;
    let mut sent =
        hyper::Request::builder().method(request.method.as_str()).uri(uri).body(http2::Frames::new(outgoing)?)?;
    *sent.headers_mut() = http2::map(&outgoing.lines)?;
    let mut lines = request.raw.as_ref().map_or(Vec::new(), |raw| raw.head().to_vec());
    let stream = Rewritten::client(stream, move || std::mem::take(&mut lines));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut connections = JoinSet::new();
    // It ends with this exchange, whenever that is.
    connections.spawn(connection);
    if let Ok(response) = sender.send_request(sent).await {
        let (head, body) = response.into_parts();
        let headers = http2::lines(&head.headers);
        let message = heard.insert(Message { start: head.status.as_str().to_owned(), headers, ..Message::default() });
        let end = http2::read(body, |part| message.push(part)).await;
        message.complete = end.is_ok();
    }
    Ok(())
}

impl Client {
    /// Leaves, where it still stays.
    pub fn leave(&mut self) {
        self.connection = None;
    }
}

impl Message {
    /// Appends what has arrived.
    pub(super) fn push(&mut self, part: Part) {
        match part {
            Part::Data(data) => self.body.extend(data),
            Part::Trailers(lines) => self.trailers.extend(lines),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What the client makes of a server that reads something, writes `answer` and goes.
    fn answered(request: &str, answer: &'static [u8]) -> Option<Message> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_buf(&mut Vec::with_capacity(64)).await.unwrap();
                stream.write_all(answer).await.unwrap();
            });
            let request: Request = serde_saphyr::from_str(request).unwrap();
            super::answer(port, Protocol::Http1, &request).await.unwrap()
        })
    }

    #[test]
    fn a_connection_without_a_response_is_none() {
        assert_eq!(answered("{}", b""), None);
        assert_eq!(answered("{}", b"HTTP/1.1 200"), None);
    }

    #[test]
    fn a_response_that_is_cut_off_is_not_complete() {
        let message = answered("{}", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").unwrap();
        assert_eq!((message.body.as_slice(), message.complete), (&b"abc"[..], false));
    }

    #[test]
    fn an_answer_before_the_end_of_the_request_is_the_answer() {
        let request = "{method: POST, body: {repeat: x, times: 30000000}}";
        let message = answered(request, b"HTTP/1.1 413 no\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert_eq!((message.start.as_str(), message.complete), ("413", true));
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let message = answered("{}", b"HTTP/1.1 100 go on\r\n\r\nHTTP/1.1 204 x\r\nA: b\r\n\r\n").unwrap();
        assert_eq!((message.start.as_str(), message.headers.len()), ("204", 1));
    }
}
