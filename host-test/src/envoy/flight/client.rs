//! The client's end of a stream.

use anyhow::{Context, Result};
use hyper::Uri;
use tokio::net::{TcpStream, tcp::OwnedReadHalf};

use super::end::{self, End, Events, Heard, Voice};
use crate::{
    envoy::wire::{Outgoing, http1, http2},
    scenario::{Protocol, Request},
};

/// Opens a stream on a connection of its own, and says its head. Gives the port from which it was opened, too.
pub async fn open(
    stream: TcpStream,
    protocol: Protocol,
    request: &Request,
    outgoing: &Outgoing,
    ends: bool,
    events: &Events,
) -> Result<(u16, End)> {
    let own = stream.local_addr()?.port();
    let end = match protocol {
        Protocol::Http1 => over_http1(stream, request, outgoing, events),
        Protocol::Http2 => over_http2(stream, request, outgoing, ends, events).await?,
    };
    Ok((own, end))
}

fn over_http1(stream: TcpStream, request: &Request, outgoing: &Outgoing, events: &Events) -> End {
    let (reader, writer) = stream.into_split();
    let (wire, writing) = end::writer(writer);
    let heard = Heard::new(events);
    let reading = tokio::spawn(hear(reader, request.method.clone(), heard.clone()));
    let voice = Voice::Http1 { wire, chunked: outgoing.chunked };
    let mut end = End { heard, voice, head_request: false, tasks: vec![writing, reading], earlier: Vec::new() };
    let mut outgoing = outgoing.clone();
    outgoing.lines.insert(0, ("host".into(), request.authority.clone().into_bytes()));
    end.head_http1(&format!("{} {} HTTP/1.1", request.method, request.path), &outgoing);
    end
}

/// Hears the response, then nothing until the connection ends.
async fn hear(half: OwnedReadHalf, method: String, heard: Heard) {
    let mut reader = http1::Reader::new(half);
    while let Ok((start, headers)) = end::first(&mut reader).await {
        let status = start.split(' ').nth(1).unwrap_or_default().to_owned();
        // Interim responses are no answer (RFC 9110 §15.2).
        if status.len() == 3 && status.starts_with('1') {
            continue;
        }
        // What is no HTTP is no answer.
        let Some(framing) = http1::Framing::of_response(&method, &status, &headers) else { break };
        heard.begin(status, headers);
        let ended = reader.body(framing, |part| heard.push(part)).await;
        heard.end(ended.is_ok());
        break;
    }
    // What comes behind an answer is none.
    while end::first(&mut reader).await.is_ok() {}
    heard.event();
    // The connection is closed by whoever holds the end, not because Envoy has said all.
    std::future::pending::<()>().await;
}

async fn over_http2(
    stream: TcpStream,
    request: &Request,
    outgoing: &Outgoing,
    ends: bool,
    events: &Events,
) -> Result<End> {
    let uri = Uri::builder().scheme("http").authority(request.authority.as_str()).path_and_query(request.path.as_str());
    let uri = uri.build().with_context(|| format!("HTTP/2 can't carry {}{}", request.authority, request.path))?;
    let mut head = hyper::Request::builder().method(request.method.as_str()).uri(uri).body(())?;
    *head.headers_mut() = http2::map(&outgoing.lines)?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    let mut sender = sender.ready().await?;
    let (response, voice) = sender.send_request(head, ends)?;
    let heard = Heard::new(events);
    let hearing = heard.clone();
    let reading = tokio::spawn(async move {
        // Without a sender the connection would end with its stream.
        let _sender = sender;
        if let Ok(response) = response.await {
            let (head, body) = response.into_parts();
            hearing.begin(head.status.as_str().to_owned(), http2::lines(&head.headers));
            hearing.body(body).await;
        }
        hearing.event();
        std::future::pending::<()>().await;
    });
    Ok(End {
        heard,
        voice: Voice::Http2(voice),
        head_request: false,
        tasks: vec![connection, reading],
        earlier: Vec::new(),
    })
}
