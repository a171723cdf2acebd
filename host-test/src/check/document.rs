//! A YAML or JSON file whose every value knows where it stands.
//!
//! 1. `parse` reads it as Envoy does.
//! 2. Where a list is wanted, anything else is a list of one. Of a key that stands twice the last counts.
//! 3. A template that isn't YAML yet is no document, and no error.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{embedded, parse::parse};
use crate::bounded;

/// Bytes of a file. The config dump of a large mesh has some ten million.
const LARGEST: u64 = 256 << 20;

/// Named in the place of a file.
const STANDARD_INPUT: &str = "-";

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
    /// Where the file stops being YAML, if it is a template.
    pub template: Option<Place>,
}

impl Document {
    /// # Errors
    /// Where the text is no YAML or JSON, with its place.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = match file.to_str() {
            Some(STANDARD_INPUT) => bounded::read_to_end(io::stdin().lock(), file, LARGEST)?,
            _ => bounded::read(file, LARGEST)?,
        };
        let text = String::from_utf8(bytes).with_context(|| format!("{} is no UTF-8 text", file.display()))?;
        let text = text.trim_start_matches('\u{feff}');
        match (parse(text), template(text)) {
            (Ok(mut roots), _) => {
                let within: Vec<Node> = roots.iter().flat_map(|root| embedded::roots(root, text)).collect();
                roots.extend(within);
                Ok(Self { file: file.into(), roots, template: None })
            }
            (Err(_), Some(place)) => Ok(Self { file: file.into(), roots: Vec::new(), template: Some(place) }),
            (Err(error), None) => Err(error.context(format!("{} is no YAML", file.display()))),
        }
    }
}

impl Node {
    /// The value of a field, by its name in snake case; protobuf's JSON may write it in camel case.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.fields().iter().rev().find(|(key, _)| is_named(key, name)).map(|(_, node)| node)
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

    /// The elements of a list; what is no list is one of one.
    pub fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A plain value as text.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            _ => self.to_json().to_string(),
        }
    }

    /// A text of a field, empty where there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.get(name).and_then(Self::text).unwrap_or_default()
    }

    pub fn is_true(&self) -> bool {
        self.value == Value::Bool(true) || self.text() == Some("true")
    }

    pub fn is_false(&self) -> bool {
        self.value == Value::Bool(false) || self.text() == Some("false")
    }

    /// Whether it is this value of an enumeration; both spellings are protobuf's.
    pub fn is_value(&self, name: &str, number: u32) -> bool {
        match &self.value {
            Value::Number(value) => *value == f64::from(number),
            Value::Text(text) => text == name,
            _ => false,
        }
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

    /// Says of all values below and of this one that they stand here.
    pub fn set_place(&mut self, at: Place) {
        self.at = at;
        match &mut self.value {
            Value::List(elements) => elements.iter_mut().for_each(|node| node.set_place(at)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, node)| node.set_place(at)),
            _ => {}
        }
    }
}

/// Whether a key is a field's name, in snake case or in the camel case of protobuf's JSON: `accept_http_10` is
/// `acceptHttp10`.
pub fn is_named(key: &str, name: &str) -> bool {
    key == name || is_camel(key, name)
}

fn is_camel(key: &str, name: &str) -> bool {
    let mut key = key.chars();
    let mut begins = false;
    for letter in name.chars() {
        if letter == '_' {
            begins = true;
            continue;
        }
        let wanted = if begins { letter.to_ascii_uppercase() } else { letter };
        begins = false;
        if key.next() != Some(wanted) {
            return false;
        }
    }
    key.next().is_none()
}

/// The place that a parser's message names; the beginning where it names none.
pub fn place_in(message: &str) -> Place {
    let number = |word: &str| -> Option<usize> {
        let behind = message.split_once(&format!("{word} "))?.1;
        behind.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    Place { line: number("line").unwrap_or(1), column: number("column").unwrap_or(1) }
}

/// The first mark of a template (Jinja, Helm, ERB), outside of comments.
fn template(text: &str) -> Option<Place> {
    const MARKS: [&str; 3] = ["{{", "{%", "<%"];
    text.lines().enumerate().find_map(|(line, text)| {
        let column = MARKS.iter().filter_map(|mark| text.find(mark)).min()?;
        let is_comment = text.trim_start().starts_with('#');
        (!is_comment).then(|| Place {
            line: line + 1,
            column: text.get(..column).map_or(0, |before| before.chars().count()) + 1,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn a_field_is_found_in_snake_case_and_in_camel_case() {
        let root = one("{vmConfig: {vm_id: a}}");
        for (key, name) in [("acceptHttp10", "accept_http_10"), ("proxy100Continue", "proxy_100_continue")] {
            assert!(is_named(key, name) && !is_named(&format!("{key}x"), name));
        }
        assert_eq!(root.at_path(&["vm_config", "vm_id"]).and_then(Node::text), Some("a"));
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts_and_one_thing_is_a_list_of_one() {
        let root = one("a: 1\na: {b: c}\n");
        assert_eq!(root.get("a").unwrap().elements()[0].text_of("b"), "c");
    }

    #[test]
    fn a_template_is_told_from_what_is_broken() {
        let read = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            Document::read(file.path()).map(|document| document.template)
        };
        assert_eq!(
            read("a: 1\n{% for x in y %}\n- {{ x }}\n{% endfor %}\n").unwrap(),
            Some(Place { line: 2, column: 1 })
        );
        assert_eq!(read("a: {{ .Values.port }}\n").unwrap(), Some(Place { line: 1, column: 4 }));
        assert_eq!(read("a: '{{ .Values.port }}'\n").unwrap(), None);
        assert!(read("# {{ a }}\na: [1\n").is_err());
    }
}
