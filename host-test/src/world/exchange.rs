//! One request with its response, as one filter sees it.

use std::collections::HashMap;

use super::{filter_state::Declared, headers::Headers, reply::Reply, status::Status};

/// Which of the two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// The callback that runs, or ran last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Created,
    Headers(Side),
    Body(Side),
    Trailers(Side),
    /// Everything is known and nothing can be changed.
    Log,
    /// Nothing can be read.
    Done,
}

impl Phase {
    /// Whether it is a callback of this message.
    pub fn is_of(self, message: Side) -> bool {
        matches!(self, Self::Headers(side) | Self::Body(side) | Self::Trailers(side) if side == message)
    }
}

/// What a filter can resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    Request,
    Response,
    /// To no effect: connections are never held here.
    Connection,
}

impl Resume {
    pub fn from_number(number: u32) -> Result<Self, Status> {
        match number {
            0 => Ok(Self::Request),
            1 => Ok(Self::Response),
            2 => Ok(Self::Connection),
            3 => Err(Status::Unimplemented),
            _ => Err(Status::BadArgument),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Exchange {
    pub phase: Phase,
    pub request: Half,
    pub response: Half,
    /// Whether the callback that runs is the last of its message.
    pub end_of_stream: bool,
    /// The filter's reply, which takes effect when the callback returns.
    pub reply: Option<Reply>,
    /// Which messages the callback that runs has resumed.
    pub resumed: [bool; 2],
    /// Whether the filter cuts the stream off.
    pub closed: bool,
    /// Which messages it resumed before it replied or closed.
    pub resumed_first: [bool; 2],
    /// By the name that the filter gave, its parts joined by NUL; Envoy puts `wasm.` in front.
    pub filter_state: HashMap<Vec<u8>, Vec<u8>>,
    pub declared: Declared,
    /// Bytes of the request's body that came in, and of the response's that went out.
    pub received: u64,
    pub sent: u64,
    /// Whether a later filter has changed the route.
    pub rerouted: bool,
    /// The route that was chosen last, of those by path.
    pub by_path: Option<usize>,
    /// Whether a route was chosen at all.
    pub routed: bool,
    /// Whether a virtual host was.
    pub hosted: bool,
    /// When the request began, in nanoseconds since the epoch: by the proxy's own clock, and as filters
    /// were told.
    pub began: u64,
    pub began_of_day: u64,
    /// `response_code_details`.
    pub details: Option<String>,
    /// `response.flags`: how the exchange went wrong.
    pub flags: u64,
    /// Whether the upstream has said all.
    pub upstream_ended: bool,
    /// `response.code`.
    pub code: Option<u64>,
    /// Whether both sides speak HTTP/2.
    pub http2: bool,
    /// Which attempt reaches the upstream, from 1; 0 before the first.
    pub attempt: u32,
    /// Whether there is a connection to the upstream.
    pub connected: bool,
    /// A number for the connection, unlike that of every other.
    pub connection: u64,
}

/// One message as the filter may reach it.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// `None` where the message never began.
    pub headers: Option<Headers>,
    /// Whether the headers are held by this filter, so that they can be read and changed.
    pub headers_open: bool,
    /// The headers that this filter holds, where a reply took their place.
    pub replaced: Option<Headers>,
    /// The bytes within reach: while a callback for body or trailers runs, and behind it as `piece` says.
    pub body: Option<Vec<u8>>,
    pub piece: Piece,
    /// The piece in hand, once the filter resumed the request.
    pub out_of_reach: Option<Vec<u8>>,
    pub trailers: Option<Headers>,
    pub trailers_open: bool,
    /// Whether this filter made the trailers, which then stay within its reach.
    pub trailers_made: bool,
    /// Whether it made them when the access log was written, which doesn't know of them.
    pub trailers_late: bool,
}

/// What Envoy points to behind the callback for a piece of body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Piece {
    #[default]
    None,
    /// What the filter was shown.
    InHand,
    /// What it keeps.
    Kept,
    /// A buffer that was emptied. What is written there goes nowhere.
    Left,
    /// Memory that was freed.
    Gone,
}

impl Exchange {
    pub fn new(began: u64, http2: bool, connection: u64) -> Self {
        Self {
            phase: Phase::Created,
            request: Half::default(),
            response: Half::default(),
            end_of_stream: false,
            reply: None,
            resumed: [false; 2],
            closed: false,
            resumed_first: [false; 2],
            filter_state: HashMap::new(),
            declared: Declared::default(),
            received: 0,
            sent: 0,
            rerouted: false,
            by_path: None,
            routed: true,
            hosted: true,
            began,
            began_of_day: began,
            details: None,
            flags: 0,
            upstream_ended: false,
            code: None,
            http2,
            attempt: 0,
            connected: false,
            connection,
        }
    }

    pub fn half(&self, side: Side) -> &Half {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// The first reply to a request wins; Envoy drops the others without a word. The error is fatal to the proxy.
    pub fn send(&mut self, reply: Reply) -> Result<(), &'static str> {
        if self.is_over() {
            return Err(
                "a reply in on_log, on_done or on_delete ends Envoy 1.40 (SIGSEGV): reply before the stream ends",
            );
        }
        let of_response = self.phase.is_of(Side::Response);
        if of_response && self.reply.is_some() {
            return Err("two replies in one callback of the response end Envoy 1.40 (SIGSEGV): reply once");
        }
        self.note_order();
        self.reply.get_or_insert(reply);
        Ok(())
    }

    /// Cuts the stream off. The error is fatal to the proxy.
    pub fn close(&mut self) -> Result<(), &'static str> {
        if self.is_over() {
            return Err("closing a stream in on_log, on_done or on_delete ends Envoy 1.40 (SIGSEGV): close it earlier");
        }
        self.note_order();
        self.closed = true;
        self.details = Some("wasm_close_stream".into());
        Ok(())
    }

    /// The first end of a stream finds its messages resumed, or not.
    fn note_order(&mut self) {
        if self.reply.is_none() && !self.closed {
            self.resumed_first = self.resumed;
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Log | Phase::Done)
    }

    /// Resumes a message. The request's headers and trailers are out of reach afterwards, whichever it was;
    /// those of the response stay. The error is fatal to the proxy.
    pub fn resume(&mut self, resume: Resume) -> Result<(), &'static str> {
        match resume {
            Resume::Request => self.resumed[0] = true,
            Resume::Response if self.response.headers.is_some() => self.resumed[1] = true,
            Resume::Response => {
                return Err(
                    "resuming a response that hasn't begun ends Envoy 1.40 (SIGSEGV): resume it in or behind its \
                            own callbacks",
                );
            }
            Resume::Connection => return Ok(()),
        }
        let request = &mut self.request;
        (request.headers_open, request.trailers_open, request.trailers_made) = (false, false, false);
        if std::mem::take(&mut request.piece) == Piece::InHand && self.phase == Phase::Body(Side::Request) {
            request.out_of_reach = request.body.take();
        }
        Ok(())
    }

    /// A piece of the response that its filter didn't let on is gone by the time that the stream is logged.
    pub fn lose_piece(&mut self) {
        if self.response.piece == Piece::Left {
            (self.response.piece, self.response.body) = (Piece::Gone, None);
        }
    }

    /// A request that has ended is logged once its codec has emptied the last piece.
    pub fn drain_piece(&mut self) {
        if self.request.piece == Piece::InHand {
            (self.request.piece, self.request.body) = (Piece::Left, Some(Vec::new()));
        }
    }

    /// Whether this message was resumed since the last call.
    pub fn take_resumed(&mut self, side: Side) -> bool {
        let [request, response] = &mut self.resumed;
        std::mem::take(match side {
            Side::Request => request,
            Side::Response => response,
        })
    }
}
