//! A gateway that isn't Envoy and filters by policies of `wit/`: an example to read, and to begin with.
//!
//! ```sh
//! cargo portcullis build
//! cargo run --bin gateway 127.0.0.1:8080 127.0.0.1:9000 target/portcullis/security-headers.component.wasm policy.json
//! ```
//!
//! 1. `policy` is all that a host must do: the calls of the world `head-policy`, an instance for each policy,
//!    bounds for each call, and a new instance behind a trap.
//! 2. This file is the way of a request: the policies in order, the backend, the policies backwards. Bodies
//!    pass as they come. What goes wrong answers 503: nothing passes unfiltered.
//! 3. HTTP/1 on one thread, without TLS and without routes. Policies choose by their own `routes`.

mod policy;

use std::{cell::RefCell, env, fs, net::SocketAddr, rc::Rc};

use anyhow::{Context, Result, bail};
use http_body_util::{Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use policy::{Edit, Header, Policy, Reply, RequestHead, ResponseHead, Seen, Verdict};
use tokio::net::{TcpListener, TcpStream};

/// A message's own, or made here.
type Body = Either<Incoming, Full<Bytes>>;

/// Lines that belong to one connection (RFC 9110 §7.6.1). `transfer-encoding` is written anew where needed.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, backend, files @ ..] = arguments.as_slice() else {
        bail!("gateway LISTEN BACKEND [COMPONENT CONFIGURATION]…")
    };
    let read = |file: &String| fs::read(file).with_context(|| format!("can't read {file}"));
    let policies = files.chunks(2).map(|pair| match pair {
        [component, configuration] => {
            Policy::new(&read(component)?, read(configuration)?).with_context(|| component.clone())
        }
        _ => bail!("each component needs a file with its configuration"),
    });
    let policies = Rc::new(RefCell::new(policies.collect::<Result<Vec<Policy>>>()?));
    let backend: Rc<str> = backend.as_str().into();
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let local = tokio::task::LocalSet::new();
    let serve = async {
        loop {
            let (stream, client) = listener.accept().await?;
            let (policies, backend) = (Rc::clone(&policies), Rc::clone(&backend));
            // In a task of its own a request comes to its end, and each policy's exchange with it, though the client leaves.
            let service = service_fn(move |request| {
                tokio::task::spawn_local(filtered(request, client, Rc::clone(&policies), Rc::clone(&backend)))
            });
            tokio::task::spawn_local(async move {
                // A client that breaks off is no trouble of the gateway's.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    local.run_until(serve).await
}

/// One request. Every policy that saw the request sees the answer, whoever gave it.
async fn filtered(
    request: Request<Incoming>,
    client: SocketAddr,
    policies: Rc<RefCell<Vec<Policy>>>,
    backend: Rc<str>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    let mut seen: Vec<Seen> = Vec::new();
    let mut answer = None;
    for policy in policies.borrow_mut().iter_mut() {
        let head = RequestHead {
            method: parts.method.as_str().into(),
            scheme: "http".into(),
            authority: parts.headers.get(header::HOST).map(|host| host.as_bytes().to_vec()).unwrap_or_default(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).into(),
            headers: lines(&parts.headers, Some(&header::HOST)),
        };
        let (exchange, verdict) = policy.request(&head, client);
        seen.push(exchange);
        match verdict {
            Verdict::Pass => {}
            Verdict::Edit(edits) => edit(&mut parts.headers, edits),
            // A policy of heads has no later call to let it go on.
            Verdict::Hold => answer = Some(unavailable()),
            Verdict::Reply(reply) => answer = Some(replied(reply)),
        }
        if answer.is_some() {
            break;
        }
    }
    let mut answer = match answer {
        Some(answer) => answer,
        None => forward(Request::from_parts(parts, body), &backend).await.unwrap_or_else(|_| unavailable()),
    };
    for (policy, exchange) in policies.borrow_mut().iter_mut().zip(seen).rev() {
        let head = ResponseHead { status: answer.status().as_u16(), headers: lines(answer.headers(), None) };
        match policy.response(exchange, &head) {
            Verdict::Pass => {}
            Verdict::Edit(edits) => edit(answer.headers_mut(), edits),
            Verdict::Hold => answer = unavailable(),
            Verdict::Reply(reply) => answer = replied(reply),
        }
    }
    answer
}

async fn forward(request: Request<Incoming>, backend: &str) -> Result<Response<Body>> {
    let stream = TcpStream::connect(backend).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    let mut response = sender.send_request(request).await?;
    strip(response.headers_mut());
    Ok(response.map(Either::Left))
}

/// Takes out what belongs to one connection, and what its line `connection` names.
fn strip(headers: &mut HeaderMap) {
    let names =
        headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let names: Vec<HeaderName> = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect();
    names.iter().chain(&HOP_BY_HOP).for_each(|name| drop(headers.remove(name)));
}

/// All lines in order, but for one that has a field of its own.
fn lines(headers: &HeaderMap, without: Option<&HeaderName>) -> Vec<Header> {
    let lines = headers.iter().filter(|(name, _)| Some(*name) != without);
    lines.map(|(name, value)| Header { name: name.as_str().into(), value: value.as_bytes().to_vec() }).collect()
}

/// Makes the changes in their order. What no header can be is left out.
fn edit(headers: &mut HeaderMap, edits: Vec<Edit>) {
    let line =
        |line: Header| Some((HeaderName::from_bytes(&line.name).ok()?, HeaderValue::from_bytes(&line.value).ok()?));
    for edit in edits {
        match edit {
            Edit::Set(wanted) => drop(line(wanted).map(|(name, value)| headers.insert(name, value))),
            Edit::Add(wanted) => drop(line(wanted).map(|(name, value)| headers.append(name, value))),
            Edit::Remove(name) => drop(HeaderName::from_bytes(&name).map(|name| headers.remove(name))),
        }
    }
}

fn replied(Reply { status, headers, body, details, .. }: Reply) -> Response<Body> {
    println!("refused: {details}");
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    edit(response.headers_mut(), headers.into_iter().map(Edit::Add).collect());
    response
}

fn unavailable() -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}
