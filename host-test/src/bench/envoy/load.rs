//! The client: requests in bursts over a few connections that stay open, answers counted, nothing kept.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::answer::Answer;

const CONNECTIONS: usize = 16;
/// Requests on one connection before its answers are read. Envoy closes a connection on which more
/// answers wait ("Too many responses queued").
const DEPTH: usize = 2;
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\nhost: bench.test\r\nuser-agent: portcullis\r\naccept: */*\r\n\r\n";

/// Open connections to one listener.
#[derive(Debug)]
pub struct Load {
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Received and not yet read as an answer.
    rest: Vec<u8>,
}

impl Load {
    /// Connects to a port on 127.0.0.1.
    pub fn connect(port: u16) -> Result<Self> {
        Self::of(CONNECTIONS, port)
    }

    /// As [`Self::connect`], with so many connections.
    pub fn of(connections: usize, port: u16) -> Result<Self> {
        let connections = (0..connections).map(|_| Connection::open(port)).collect::<Result<_>>()?;
        Ok(Self { connections })
    }

    /// Sends so many requests and waits for their answers, each of which must have status 200.
    pub fn send(&mut self, requests: usize) -> Result<()> {
        let mut left = requests;
        while left > 0 {
            let mut in_flight = Vec::with_capacity(self.connections.len());
            for connection in &mut self.connections {
                let burst = left.min(DEPTH);
                connection.ask(burst)?;
                in_flight.push(burst);
                left -= burst;
            }
            for (connection, burst) in self.connections.iter_mut().zip(in_flight) {
                for _ in 0..burst {
                    connection.answer(|_| ())?;
                }
            }
        }
        Ok(())
    }

    /// The header lines of one answer, names in lower case.
    pub fn look(&mut self) -> Result<Vec<(String, String)>> {
        let connection = self.connections.first_mut().context("no connection")?;
        connection.ask(1)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        connection.answer(|answer| {
            answer.lines().map(|(name, value)| (text(name).to_ascii_lowercase(), text(value))).collect()
        })
    }
}

impl Connection {
    fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("127.0.0.1:{port}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    fn ask(&mut self, requests: usize) -> Result<()> {
        self.stream.write_all(&REQUEST.repeat(requests)).context("Envoy takes no more requests")
    }

    fn answer<T>(&mut self, look: impl FnOnce(&Answer<'_>) -> T) -> Result<T> {
        loop {
            if let Some(answer) = Answer::read(&self.rest)? {
                if answer.status != b"200" {
                    bail!("an answer with status {}", String::from_utf8_lossy(answer.status));
                }
                let (seen, size) = (look(&answer), answer.size);
                self.rest.drain(..size);
                return Ok(seen);
            }
            let mut chunk = [0; 32 << 10];
            let size = self.stream.read(&mut chunk).context("no answer from Envoy")?;
            match chunk.get(..size) {
                Some(bytes) if size > 0 => self.rest.extend_from_slice(bytes),
                _ => bail!("Envoy closed a connection"),
            }
        }
    }
}
