//! Text → values with their places, read as Envoy reads it:
//!
//! 1. In YAML a plain word may be a boolean (`off`), a number that fits 32 bits is one (`0x1F` and `010`
//!    too), and any other, `1.5` too, is text.
//! 2. In JSON things are what they look like.
//! 3. What stands under a key tagged `!ignore` is left out, but for its anchors.
//! 4. The lines of a quoted text may begin anywhere.
//! 5. Several documents may stand in one file. Aliases are followed; a file that unfolds to more than
//!    four million values is refused. What an anchor keeps counts too, and so does long text.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::{Context, Error, Result, bail};
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::document::{Node, Place, Value};

const MOST_NODES: usize = 4_000_000;
const DEEPEST: usize = 256;
/// Lines of quoted texts that are moved to the right; each is one more reading.
const MOST_INDENTED: usize = 1000;

/// # Errors
/// What the parser says, with line and column.
pub fn parse(text: &str) -> Result<Vec<Node>> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_INDENTED {
        match read(&text) {
            Err(error) => match under_indented(&error) {
                Some(line) => text = indented(&text, line).into(),
                None => return Err(error),
            },
            roots => return roots,
        }
    }
    read(&text)
}

/// The line of a quoted text that begins too far left for this parser, but not for Envoy's: JSON over
/// several lines in a `StringValue`.
fn under_indented(error: &Error) -> Option<usize> {
    let error = error.downcast_ref::<ScanError>()?;
    (*error.kind() == ErrorKind::InvalidQuotedScalarIndent).then(|| error.marker().line())
}

/// The same with this line further to the right, which folding takes away again.
fn indented(text: &str, line: usize) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(|(index, text)| if index + 1 == line { format!("{:64}{text}", "") } else { text.to_owned() }).collect()
}

fn read(text: &str) -> Result<Vec<Node>> {
    let json = text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let mut reader = Reader { events: Parser::new_from_str(text), json, anchors: BTreeMap::new(), nodes: 0 };
    let mut roots = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => roots.push(reader.node(event, span, 0)?),
        }
    }
    Ok(roots)
}

struct Reader<I> {
    events: I,
    json: bool,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a, I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Reader<I> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>> {
        for event in self.events.by_ref() {
            let (event, span) = event?;
            if !matches!(event, Event::Comment(..)) {
                return Ok(Some((event, span)));
            }
        }
        Ok(None)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node> {
        let at = place(&span);
        self.take(1)?;
        if depth > DEEPEST {
            bail!("line {}: nested deeper than {DEEPEST}", at.line);
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).cloned().context("an alias without its anchor")?;
                self.take(weight(&target))?;
                return Ok(Node { at, ..target });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (if plain { self.plain(&text) } else { Value::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.elements(depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.fields(depth)?), anchor),
            other => bail!("line {}: {other:?} where a value should be", at.line),
        };
        let node = Node { value, at };
        if anchor != 0 {
            self.take(weight(&node))?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Node>> {
        let mut elements = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            elements.push(self.node(event, span, depth + 1)?);
        }
        Ok(elements)
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<(String, Node)>> {
        let mut fields = Vec::new();
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let at = place(&span);
            let (key, left_out) = match event {
                Event::Scalar(text, _, _, tag) => {
                    (text.into_owned(), tag.is_some_and(|tag| tag.handle() == "!" && tag.suffix() == "ignore"))
                }
                _ => bail!("line {}: a key that is no text", at.line),
            };
            let (event, span) = self.next()?.context("a key without its value")?;
            let node = self.node(event, span, depth + 1)?;
            if !left_out {
                fields.push((key, Node { at, ..node }));
            }
        }
        Ok(fields)
    }

    fn take(&mut self, nodes: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            bail!("it unfolds to more than {MOST_NODES} values");
        }
        Ok(())
    }

    fn plain(&self, text: &str) -> Value {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            _ => {}
        }
        if self.json {
            return text.parse().map_or_else(|_| Value::Text(text.into()), Value::Number);
        }
        match text.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "true" => Value::Bool(true),
            "n" | "no" | "off" | "false" => Value::Bool(false),
            _ => match integer(text) {
                Some(number) => Value::Number(number.into()),
                None => Value::Text(text.into()),
            },
        }
    }
}

/// What a copy costs: its values, and its text by the size of one.
fn weight(node: &Node) -> usize {
    let mut weight = 0;
    node.walk(&mut |node| {
        let keys: usize = node.fields().iter().map(|(key, _)| key.len()).sum();
        weight += 1 + (keys + node.text().map_or(0, str::len)) / size_of::<Node>();
    });
    weight
}

/// A number of 32 bits, as C reads it.
fn integer(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if !digits.starts_with(|digit: char| digit.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().and_then(|number| i32::try_from(sign * number).ok())
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn every_value_knows_the_line_and_column_of_its_key() {
        let root = one("a: 1\nb:\n  - c: x\n    d: {e: y}\n");
        let element = &root.get("b").unwrap().elements()[0];
        assert_eq!(root.get("a").unwrap().at, Place { line: 1, column: 1 });
        assert_eq!(element.get("d").unwrap().at, Place { line: 4, column: 5 });
        assert_eq!(element.at_path(&["d", "e"]).unwrap().at, Place { line: 4, column: 9 });
    }

    #[test]
    fn yaml_becomes_what_envoys_loader_makes_of_it() {
        let root = one("[off, 'off', 5, 1.5, 5000000000, ~, text, 0x1F, 010, 09]");
        let values: Vec<&Value> = root.elements().iter().map(|node| &node.value).collect();
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(
            values,
            [
                &Value::Bool(false),
                &text("off"),
                &Value::Number(5.0),
                &text("1.5"),
                &text("5000000000"),
                &Value::Null,
                &text("text"),
                &Value::Number(31.0),
                &Value::Number(8.0),
                &text("09"),
            ]
        );
    }

    #[test]
    fn json_stays_what_it_is() {
        let root = one("{\"a\": 1.5, \"b\": \"off\", \"c\": null}");
        assert_eq!(root.to_json(), serde_json::json!({ "a": 1.5, "b": "off", "c": null }));
    }

    #[test]
    fn an_alias_is_the_value_of_its_anchor_and_a_bomb_of_them_is_refused() {
        let root = one("a: &x {b: c}\nd: *x\n");
        assert_eq!(root.at_path(&["d", "b"]).and_then(Node::text), Some("c"));
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(",");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(parse(&bomb).unwrap_err().to_string().contains("unfolds"));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn what_anchors_keep_is_bounded_even_where_no_alias_follows() {
        let mut nested = "a: ".to_owned();
        (0..200).for_each(|level| nested += &format!("&a{level} ["));
        nested += &format!("{}x{}", "x,".repeat(100_000), "]".repeat(200));
        assert!(parse(&nested).unwrap_err().to_string().contains("unfolds"));
        let long = format!("a: &a {}\nb: [{}*a]\n", "x".repeat(1 << 20), "*a,".repeat(1000));
        assert!(parse(&long).unwrap_err().to_string().contains("unfolds"));
    }

    #[test]
    fn what_stands_under_an_ignored_key_is_there_for_its_anchors_alone() {
        let root = one("!ignore parts:\n  - &x {b: c}\nd: *x\n");
        assert_eq!(root.to_json(), serde_json::json!({ "d": { "b": "c" } }));
    }

    #[test]
    fn the_lines_of_a_quoted_text_may_begin_anywhere() {
        let root = one("a:\n  b: '{\n \"c\": 1,\n\"d\": {\n}}'\n  e: f\n");
        assert_eq!(root.to_json(), serde_json::json!({ "a": { "b": "{ \"c\": 1, \"d\": { }}", "e": "f" } }));
        assert_eq!(root.at_path(&["a", "e"]).unwrap().at, Place { line: 6, column: 3 });
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let error = parse("a: [1\nb: 2").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
