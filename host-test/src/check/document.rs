//! A YAML or JSON file whose every value knows where it stands, read as Envoy reads it:
//!
//! 1. In YAML a plain word may be a boolean (`off`), a number that fits 32 bits is one, and any other,
//!    `1.5` too, is text.
//! 2. In JSON things are what they look like.
//! 3. Several documents may stand in one file. Aliases are followed; a file that unfolds to more than
//!    four million values is refused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::bounded;

/// Bytes of a file. The config dump of a large mesh has some ten million.
const LARGEST: u64 = 256 << 20;
const MOST_NODES: usize = 4_000_000;
const DEEPEST: usize = 256;

/// Counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    /// Where the value begins; in a mapping, where its key does.
    pub at: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A file and the documents in it.
#[derive(Clone, Debug)]
pub struct Document {
    pub file: PathBuf,
    pub roots: Vec<Node>,
}

impl Document {
    /// # Errors
    /// Where the text is no YAML or JSON, with its place.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = bounded::read(file, LARGEST)?;
        let text = String::from_utf8(bytes).with_context(|| format!("{} is no UTF-8 text", file.display()))?;
        let roots = parse(&text).with_context(|| format!("{} is no YAML", file.display()))?;
        Ok(Self { file: file.into(), roots })
    }
}

impl Node {
    /// The value of a field, by its name in snake case; protobuf's JSON may write it in camel case.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|(key, _)| is_named(key, name)).map(|(_, node)| node)
    }

    /// The value at the end of a path of fields.
    pub fn at_path(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    pub fn fields(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(fields) => fields,
            _ => &[],
        }
    }

    pub fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text of a field, empty where there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.get(name).and_then(Self::text).unwrap_or_default()
    }

    pub fn is_true(&self) -> bool {
        self.value == Value::Bool(true) || self.text() == Some("true")
    }

    /// Whether `@type` is a message of this name, whatever stands before it.
    pub fn is_a(&self, message: &str) -> bool {
        self.fields().iter().any(|(key, node)| {
            key == "@type" && node.text().is_some_and(|name| name.rsplit(['/', '.']).next() == Some(message))
        })
    }

    /// All values below and this one itself, from top to bottom.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        visit(self);
        match &self.value {
            Value::List(elements) => elements.iter().for_each(|node| node.walk(visit)),
            Value::Map(fields) => fields.iter().for_each(|(_, node)| node.walk(visit)),
            _ => {}
        }
    }

    /// The same without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => (*number as i64).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(elements) => elements.iter().map(Self::to_json).collect::<Vec<_>>().into(),
            Value::Map(fields) => {
                fields.iter().map(|(key, node)| (key.clone(), node.to_json())).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }
}

/// Whether a key is a field's name, in snake case or in the camel case of protobuf's JSON.
pub fn is_named(key: &str, name: &str) -> bool {
    key == name || (key.contains(char::is_uppercase) && snake(key) == name)
}

fn snake(camel: &str) -> String {
    let mut out = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// # Errors
/// What the parser says, with line and column.
pub fn parse(text: &str) -> Result<Vec<Node>> {
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
                self.take(target.size())?;
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
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                _ => bail!("line {}: a key that is no text", at.line),
            };
            let (event, span) = self.next()?.context("a key without its value")?;
            let node = self.node(event, span, depth + 1)?;
            fields.push((key, Node { at, ..node }));
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
            _ => match text.parse::<i32>() {
                Ok(number) => Value::Number(number.into()),
                Err(_) => Value::Text(text.into()),
            },
        }
    }
}

impl Node {
    fn size(&self) -> usize {
        let mut size = 0;
        self.walk(&mut |_| size += 1);
        size
    }
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
        let root = one("[off, 'off', 5, 1.5, 5000000000, ~, text]");
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
                &text("text")
            ]
        );
    }

    #[test]
    fn json_stays_what_it_is() {
        let root = one("{\"a\": 1.5, \"b\": \"off\", \"c\": null}");
        assert_eq!(root.to_json(), serde_json::json!({ "a": 1.5, "b": "off", "c": null }));
    }

    #[test]
    fn a_field_is_found_in_snake_case_and_in_camel_case() {
        let root = one("{vmConfig: {vm_id: a}}");
        assert_eq!(root.at_path(&["vm_config", "vm_id"]).and_then(Node::text), Some("a"));
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
    fn what_is_no_yaml_says_where() {
        let error = parse("a: [1\nb: 2").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
