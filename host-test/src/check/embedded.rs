//! Files within a file: a `ConfigMap` of Kubernetes holds whole bootstraps as text.
//!
//! Where the text stands as a block (`envoy.yaml: |`), each value in it is told by its own place in the
//! file; in any other form, by that of the text.

use super::{
    document::{Node, Place, Value},
    parse::parse,
};

/// The documents that the texts of a root hold, as far as they can be read.
pub fn roots(root: &Node, file: &str) -> Vec<Node> {
    if root.text_of("kind") != "ConfigMap" {
        return Vec::new();
    }
    let texts = root.get("data").map(Node::fields).unwrap_or_default();
    let read = |(_, node): &(String, Node)| {
        let mut roots = parse(node.text()?).ok()?;
        roots.retain(|root| !root.fields().is_empty());
        let moved = Moved::of(node.at, file);
        roots.iter_mut().for_each(|root| moved.shift(root));
        Some(roots)
    };
    texts.iter().filter_map(read).flatten().collect()
}

/// Where a text stands in its file.
struct Moved {
    key: Place,
    /// Columns before each line of a block.
    indent: Option<usize>,
}

impl Moved {
    fn of(key: Place, file: &str) -> Self {
        let mut lines = file.lines().skip(key.line.saturating_sub(1));
        let is_block = lines.next().is_some_and(|line| {
            let line = line.split(" #").next().unwrap_or_default().trim_end();
            line.trim_end_matches(|letter: char| letter == '-' || letter == '+' || letter.is_ascii_digit())
                .ends_with('|')
        });
        let first = lines.find(|line| !line.trim().is_empty());
        let spaces = first.map(|line| line.len() - line.trim_start_matches(' ').len());
        Self { key, indent: spaces.filter(|_| is_block) }
    }

    fn shift(&self, node: &mut Node) {
        node.at = match self.indent {
            Some(indent) => Place { line: node.at.line + self.key.line, column: node.at.column + indent },
            None => self.key,
        };
        match &mut node.value {
            Value::List(elements) => elements.iter_mut().for_each(|node| self.shift(node)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, node)| self.shift(node)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_block_has_its_own_place_and_the_rest_that_of_its_text() {
        let file = "kind: ConfigMap\ndata:\n  a.yaml: |-\n    b:\n      c: d\n  e.json: '{\"f\": 1}'\n  g: text\n";
        let root = parse(file).unwrap().remove(0);
        let found = roots(&root, file);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].at_path(&["b", "c"]).unwrap().at, Place { line: 5, column: 7 });
        assert_eq!(found[1].get("f").unwrap().at, Place { line: 6, column: 3 });
    }
}
