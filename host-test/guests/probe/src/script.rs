//! The script: text → groups of statements.

/// What a script can say: name, the fewest arguments, a short name.
#[rustfmt::skip]
pub const STATEMENTS: &[(&str, usize, &str)] = &[
    // Header maps, by their numbers. `get_header_map_value MAP NAME`, `replace_… MAP NAME VALUE`.
    ("get_header_map_value", 2, "get_value"), ("get_header_map_pairs", 1, "get_pairs"),
    ("get_header_map_size", 1, "get_size"),
    ("replace_header_map_value", 3, "replace"), ("add_header_map_value", 3, "add"),
    ("remove_header_map_value", 2, "remove"),
    // `set_pairs MAP NAME VALUE NAME VALUE …`; `set_pairs_bytes MAP BYTES` for what isn't pairs; `set_many MAP
    // COUNT NAME VALUE` for the same pair so many times.
    ("set_header_map_pairs", 1, "set_pairs"), ("set_pairs_bytes", 2, ""), ("set_many", 4, ""),
    // Buffers: `BUFFER START MOST`, `BUFFER`, `BUFFER START LENGTH DATA`.
    ("get_buffer_bytes", 3, "get_buffer"), ("get_buffer_status", 1, "buffer_status"),
    ("set_buffer_bytes", 4, "set_buffer"),
    // A path is one word for each segment; `set_property PATH VALUE` has it in one word, split by \x00.
    ("get_property", 0, ""), ("set_property", 2, ""),
    // For properties that are maps or lists, in the order of the alphabet: maps have none.
    ("get_property_map", 0, ""),
    // `KEY`, `KEY VALUE CAS`.
    ("get_shared_data", 1, "get_data"), ("set_shared_data", 3, "set_data"),
    // `NAME`, `VM_ID NAME`, `QUEUE VALUE`, `QUEUE`.
    ("register_shared_queue", 1, "register_queue"), ("resolve_shared_queue", 2, "resolve_queue"),
    ("enqueue_shared_queue", 2, "enqueue"), ("dequeue_shared_queue", 1, "dequeue"),
    // `KIND NAME`, `ID BY`, `ID VALUE`, `ID`.
    ("define_metric", 2, ""), ("increment_metric", 2, "increment"), ("record_metric", 2, "record"),
    ("get_metric", 1, ""),
    // `LEVEL TEXT`.
    ("log", 2, ""), ("get_log_level", 0, ""), ("get_status", 0, ""),
    ("get_current_time_nanoseconds", 0, "get_current_time"), ("set_tick_period_milliseconds", 1, "set_tick_period"),
    // `NAME ARGUMENT`.
    ("call_foreign_function", 2, "foreign"),
    // `CLUSTER TIMEOUT BODY NAME VALUE … -- NAME VALUE …`, trailers behind the `--`.
    ("http_call", 3, ""),
    // `SERVICE NAME METHOD MESSAGE TIMEOUT [NAME VALUE …]`, `SERVICE NAME METHOD [NAME VALUE …]`, `TOKEN MESSAGE END`, `TOKEN`.
    ("grpc_call", 5, ""), ("grpc_stream", 3, ""), ("grpc_send", 3, ""), ("grpc_cancel", 1, ""), ("grpc_close", 1, ""),
    // `ADDRESS`, a call of Envoy's own.
    ("envoy_resolve_dns", 1, "resolve_dns"),
    // `STATUS DETAILS BODY GRPC_STATUS [NAME VALUE …]`; `reply STATUS BODY [NAME VALUE …]`.
    ("send_local_response", 4, "local_response"), ("reply", 2, ""),
    ("continue_stream", 1, "continue"), ("close_stream", 1, "close"),
    // An id, or `stream` for the stream that was created last.
    ("set_effective_context", 1, "effective_context"), ("done", 0, ""),
    // Any call of `env` by its full name, with a number for every argument, pointers among them.
    ("raw", 1, ""),
    // Not calls: what the callback returns (and ends), and how a guest misbehaves. `grow PAGES`, `allocator off` gives
    // null pointers from then on, `allocator on` memory again.
    ("return", 1, ""), ("trap", 0, ""), ("loop", 0, ""), ("grow", 1, ""), ("exit", 0, ""), ("allocator", 1, ""),
];

/// The callbacks that a group may be for.
#[rustfmt::skip]
pub const CALLBACKS: &[&str] = &[
    "context_create", "vm_start", "configure", "tick", "queue_ready", "foreign_function",
    "request_headers", "request_body", "request_trailers", "request_metadata",
    "response_headers", "response_body", "response_trailers", "response_metadata",
    "http_call_response", "resolve_dns",
    "grpc_receive_initial_metadata", "grpc_receive", "grpc_receive_trailing_metadata", "grpc_close",
    "log", "done", "delete",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub groups: Vec<Group>,
    /// Whether every callback logs itself.
    pub trace: bool,
    /// Whether it tells the id of its context.
    pub ids: bool,
    /// Stands before every line of the log, where several scripts speak.
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub callback: String,
    pub guards: Vec<Guard>,
    pub statements: Vec<Statement>,
}

/// When a group runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// At the end of a message.
    End,
    /// At the n-th call of the callback in its context.
    Call(u32),
    /// In the context of this id.
    Context(u32),
    /// Where the store holds this key.
    Stored(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// As it is written, for the log.
    pub text: String,
    /// The long name.
    pub name: &'static str,
    pub arguments: Vec<Vec<u8>>,
    /// Whether only the length of its result is told.
    pub masked: bool,
    /// Whether not even that is.
    pub hidden: bool,
}

impl Group {
    pub fn runs(&self, callback: &str, context: u32, call: u32, end: bool, stored: &dyn Fn(&str) -> bool) -> bool {
        self.callback == callback
            && self.guards.iter().all(|guard| match guard {
                Guard::End => end,
                Guard::Call(wanted) => *wanted == call,
                Guard::Context(wanted) => *wanted == context,
                Guard::Stored(key) => stored(key),
            })
    }
}

impl Script {
    /// Reads a script. The error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut script = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            match line {
                "" => {}
                "trace" => script.trace = true,
                "ids" => script.ids = true,
                _ if line.starts_with('#') => {}
                _ if line.starts_with("name ") => script.name = line.split_whitespace().nth(1).map(String::from),
                _ => script.groups.push(group(line).map_err(|error| format!("line {}: {error}", index + 1))?),
            }
        }
        Ok(script)
    }
}

fn group(line: &str) -> Result<Group, String> {
    let (head, statements) = line.split_once(':').ok_or("expected `callback: statement; …`")?;
    let (callback, guards) = match head.split_once('[') {
        None => (head.trim(), ""),
        Some((callback, guards)) => {
            (callback.trim(), guards.trim_end().strip_suffix(']').ok_or("a guard ends with `]`")?)
        }
    };
    if !CALLBACKS.contains(&callback) {
        return Err(format!("no callback is called `{callback}` (callbacks: {})", CALLBACKS.join(", ")));
    }
    let guards = guards.split(',').map(str::trim).filter(|guard| !guard.is_empty());
    let guards = guards.map(guard).collect::<Result<_, _>>()?;
    let statements = split(statements)?.iter().map(|words| statement(words)).collect::<Result<_, _>>()?;
    Ok(Group { callback: callback.into(), guards, statements })
}

fn guard(text: &str) -> Result<Guard, String> {
    let number =
        |digits: &str| digits.parse().map_err(|_| format!("`{text}` is no guard: `end`, `2`, `#3` or `has key`"));
    if let Some(key) = text.strip_prefix("has ") {
        return Ok(Guard::Stored(key.trim().to_owned()));
    }
    match text.strip_prefix('#') {
        Some(id) => number(id).map(Guard::Context),
        None if text == "end" => Ok(Guard::End),
        None => number(text).map(Guard::Call),
    }
}

/// A word as it is written, and what it stands for.
type Word = (String, Vec<u8>);

/// Statements, each as its words.
fn split(text: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut statements = vec![Vec::new()];
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(';') {
            statements.push(Vec::new());
            rest = after.trim_start();
            continue;
        }
        let (value, after) = if rest.starts_with('"') { quoted(rest)? } else { bare(rest) };
        let written = rest.get(..rest.len() - after.len()).unwrap_or(rest);
        if let Some(words) = statements.last_mut() {
            words.push((written.to_owned(), value));
        }
        rest = after.trim_start();
    }
    statements.retain(|words| !words.is_empty());
    Ok(statements)
}

fn bare(text: &str) -> (Vec<u8>, &str) {
    let end = text.find([' ', '\t', ';']).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (word.as_bytes().to_vec(), rest)
}

/// `"…"`, or `"…"*times`.
fn quoted(text: &str) -> Result<(Vec<u8>, &str), String> {
    let open = || format!("`{text}` has no closing quote");
    let mut value = Vec::new();
    let mut rest = text.strip_prefix('"').ok_or_else(open)?;
    loop {
        let mut letters = rest.chars();
        let letter = letters.next().ok_or_else(open)?;
        rest = letters.as_str();
        match letter {
            '"' => break,
            '\\' => {
                let (byte, after) = escape(rest).ok_or("an escape is \\\", \\\\, \\n or \\xNN")?;
                value.push(byte);
                rest = after;
            }
            letter => value.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    if let Some(times) = rest.strip_prefix('*') {
        let end = times.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(times.len());
        let (times, after) = times.split_at_checked(end).unwrap_or((times, ""));
        value = value.repeat(times.parse().map_err(|_| "behind `*` stands how often to repeat")?);
        rest = after;
    }
    if rest.is_empty() || rest.starts_with([' ', '\t', ';']) {
        Ok((value, rest))
    } else {
        Err("a blank or `;` follows a closing quote".into())
    }
}

fn escape(text: &str) -> Option<(u8, &str)> {
    let mut letters = text.chars();
    let byte = match letters.next()? {
        'n' => b'\n',
        '"' => b'"',
        '\\' => b'\\',
        'x' => {
            let byte = u8::from_str_radix(letters.as_str().get(..2)?, 16).ok()?;
            return Some((byte, letters.as_str().get(2..)?));
        }
        _ => return None,
    };
    Some((byte, letters.as_str()))
}

fn statement(words: &[Word]) -> Result<Statement, String> {
    let text = words.iter().map(|(written, _)| written.as_str()).collect::<Vec<_>>().join(" ");
    let mut words = words.iter();
    let first = words.next().map(|(written, _)| written.as_str()).unwrap_or_default();
    let (hidden, name) = first.strip_prefix("~~").map_or((false, first), |name| (true, name));
    let (masked, name) = name.strip_prefix('~').map_or((hidden, name), |name| (true, name));
    let known = STATEMENTS.iter().find(|(long, _, short)| *long == name || (!short.is_empty() && *short == name));
    let (name, fewest, _) = known.ok_or_else(|| format!("no statement is called `{name}`"))?;
    let arguments: Vec<Vec<u8>> = words.map(|(_, value)| value.clone()).collect();
    if arguments.len() < *fewest {
        return Err(format!("`{text}`: {name} has at least {fewest} arguments"));
    }
    Ok(Statement { text, name, arguments, masked, hidden })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_group_of_statements_with_guards() {
        let script =
            Script::parse("# a\ntrace\n\nrequest_body[end, 2,#3, has k]: get_buffer 0 0 5; return 1;\n").unwrap();
        assert!(script.trace && !script.ids);
        let group = &script.groups[0];
        assert_eq!(group.guards, [Guard::End, Guard::Call(2), Guard::Context(3), Guard::Stored("k".into())]);
        assert_eq!(group.statements.len(), 2);
        assert_eq!(group.statements[0].name, "get_buffer_bytes");
        assert_eq!(group.statements[0].text, "get_buffer 0 0 5");
        let stored = |key: &str| key == "k";
        assert!(group.runs("request_body", 3, 2, true, &stored));
        assert!(!group.runs("request_body", 3, 2, true, &|_| false));
        for (callback, context, call, end) in [
            ("response_body", 3, 2, true),
            ("request_body", 2, 2, true),
            ("request_body", 3, 1, true),
            ("request_body", 3, 2, false),
        ] {
            assert!(!group.runs(callback, context, call, end, &stored));
        }
    }

    #[test]
    fn words_may_be_quoted_escaped_and_repeated() {
        let script = Script::parse(r#"log: add 0 "a; b" "\x00\xff\"\\\n"; add 0 b "xy"*3;~get_property a b"#).unwrap();
        let of = |index: usize| &script.groups[0].statements[index];
        assert_eq!(of(0).arguments, [b"0".to_vec(), b"a; b".to_vec(), b"\0\xff\"\\\n".to_vec()]);
        assert_eq!(of(1).arguments[2], b"xyxyxy");
        assert_eq!(of(1).text, r#"add 0 b "xy"*3"#);
        assert!(of(2).masked && !of(2).hidden && !of(1).masked);
        assert!(Script::parse("log: ~~done").unwrap().groups[0].statements[0].hidden);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        for (line, error) in [
            ("request_headers", "callback: statement"),
            ("request_header: return 0", "no callback is called `request_header`"),
            ("log[x]: return 0", "`x` is no guard"),
            ("log[1: return 0", "ends with `]`"),
            ("log: nothing 1", "no statement is called `nothing`"),
            ("log: add 0 a", "at least 3"),
            ("log: log 2 \"a", "no closing quote"),
            ("log: log 2 \"\\y\"", "an escape is"),
            ("log: log 2 \"a\"b", "follows a closing quote"),
        ] {
            let refused = Script::parse(&format!("trace\n{line}")).unwrap_err();
            assert!(refused.starts_with("line 2: ") && refused.contains(error), "{line}: {refused}");
        }
    }

    #[test]
    fn every_name_stands_for_one_statement() {
        let names = STATEMENTS.iter().flat_map(|(long, _, short)| [*long, *short]).filter(|name| !name.is_empty());
        let mut names: Vec<&str> = names.collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
