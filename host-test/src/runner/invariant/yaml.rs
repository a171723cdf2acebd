//! A message as a step that can be pasted into a scenario.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::message::Message;
use crate::{
    outcome::Cut,
    scenario::{Body, HeaderLines},
};

/// Longer values of one repeated byte are written by `repeat`.
const SHORT: usize = 32;

/// One field on a line; what is as by default is left out.
pub fn step(message: &Message) -> String {
    let step = &message.step;
    let request = step.request();
    let mut text = String::from("- request:\n");
    field(&mut text, "method", &json!(request.method));
    field(&mut text, "authority", &json!(request.authority));
    field(&mut text, "path", &json!(request.path));
    rest(&mut text, message.cut, (&request.headers, request.body.as_ref(), &request.trailers));
    if let Some(response) = &step.response {
        text.push_str("  response:\n");
        field(&mut text, "status", &json!(response.status));
        rest(&mut text, message.cut, (&response.headers, response.body.as_ref(), &response.trailers));
    }
    if let Some(reply) = &step.reply {
        text.push_str("  reply:\n");
        field(&mut text, "status", &json!(reply.status));
        field(&mut text, "headers", &lines(&reply.headers));
        field(&mut text, "body", &bytes(&reply.body.0));
    }
    text.trim_end().to_owned()
}

fn field(text: &mut String, name: &str, value: &Value) {
    // Writing to a String can't fail. JSON is YAML.
    let _ = writeln!(text, "    {name}: {value}");
}

fn rest(text: &mut String, cut: Cut, (headers, part, end): (&HeaderLines, Option<&Body>, &HeaderLines)) {
    if !headers.0.is_empty() {
        field(text, "headers", &lines(headers));
    }
    if let Some(part) = part {
        field(text, "body", &body(part, cut));
    }
    if !end.0.is_empty() {
        field(text, "trailers", &lines(end));
    }
}

fn lines(lines: &HeaderLines) -> Value {
    lines.0.iter().map(|(name, value)| json!({ name.as_str(): bytes(&value.0) })).collect()
}

/// A body that was cut is written as its pieces.
fn body(body: &Body, cut: Cut) -> Value {
    match (body, cut) {
        (Body::Whole(whole), Cut::AsWritten) => bytes(&whole.0),
        _ => cut.pieces(body.pieces()).iter().map(|piece| bytes(piece)).collect(),
    }
}

fn bytes(value: &[u8]) -> Value {
    let first = value.first().copied().unwrap_or_default();
    if value.len() > SHORT && first.is_ascii_graphic() && value.iter().all(|byte| *byte == first) {
        return json!({ "repeat": char::from(first).to_string(), "times": value.len() });
    }
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains(char::is_control) => json!(text),
        _ => json!({ "hex": value.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Step;

    #[test]
    fn a_written_step_is_read_as_it_was() {
        let yaml = "{request: {method: PUT, headers: [{a: {hex: ff80}}, {a: ''}, {b: {repeat: x, times: 99}}], body: [ab, c]}, \
                    response: {status: 299, trailers: {t: '1'}}}";
        let step: Step = serde_saphyr::from_str(yaml).unwrap();
        let message = Message { step: step.clone(), cut: Cut::AsWritten };
        let text = super::step(&message);
        let read: Vec<Step> = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(format!("{:?}", read), format!("{:?}", [step]), "{text}");
        assert!(text.contains(r#"{"repeat":"x","times":99}"#), "{text}");
    }
}
