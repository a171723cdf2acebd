//! The backend of the demonstration: a page, an API, a path that tells too much of itself.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

use super::wire::http2::lines;
use crate::outcome::Message;

/// The most that is kept of a request's body, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// The last exchange that the backend took part in.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<Option<Exchange>>>);

#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Message,
    pub response: Message,
}

impl Seen {
    /// The last exchange since this was called before.
    pub fn take(&self) -> Option<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, exchange: Exchange) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
    }
}

/// Serves HTTP/1 on the listener until it is dropped.
pub async fn demo_upstream(listener: TcpListener, seen: Seen) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let seen = seen.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let seen = seen.clone();
                async move { Ok::<_, Infallible>(exchange(request, &seen).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let _ = server.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn exchange(request: Request<Incoming>, seen: &Seen) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map(|body| body.to_bytes());
    let request = Message {
        start: format!("{} {}", head.method, head.uri),
        headers: lines(&head.headers),
        complete: body.is_ok(),
        body: body.map(Vec::from).unwrap_or_default(),
        trailers: Vec::new(),
    };
    let (response, body) = answer(head.uri.path());
    let start = response.status().as_str().to_owned();
    let given = Message { start, headers: lines(response.headers()), complete: true, ..Message::default() };
    seen.set(Exchange { request, response: given });
    response.map(|()| Full::new(Bytes::from_static(body.as_bytes())))
}

fn answer(path: &str) -> (Response<()>, &'static str) {
    let (status, headers, body): (u16, &[(&'static str, &'static str)], &'static str) = match path {
        "/" => (
            200,
            &[("content-type", "text/html; charset=utf-8")],
            "<!doctype html><title>Demo</title><h1>It works</h1>\n",
        ),
        "/leaky" => (
            200,
            &[("content-type", "text/plain"), ("server", "Demo/1.0"), ("x-powered-by", "Express")],
            "this backend tells who it is\n",
        ),
        path if path.starts_with("/api/") => (200, &[("content-type", "application/json")], "{\"orders\":[]}\n"),
        _ => (404, &[("content-type", "application/json")], "{\"error\":\"not found\"}\n"),
    };
    let mut response = Response::new(());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in headers {
        response.headers_mut().insert(*name, hyper::header::HeaderValue::from_static(value));
    }
    (response, body)
}
