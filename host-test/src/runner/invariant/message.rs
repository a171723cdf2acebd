//! A step as a message that can be changed and made smaller: both sides, and how bodies are cut.

use crate::{
    outcome::Cut,
    scenario::{Body, Bytes, Step},
};

#[derive(Clone, Debug)]
pub struct Message {
    pub step: Step,
    pub cut: Cut,
}

pub type Lines = Vec<(String, Bytes)>;

/// The parts of a message that are lists of lines.
pub const LISTS: [fn(&mut Step) -> Option<&mut Lines>; 4] = [
    |step| Some(&mut step.request_mut().headers.0),
    |step| Some(&mut step.request_mut().trailers.0),
    |step| step.response.as_mut().map(|response| &mut response.headers.0),
    |step| step.response.as_mut().map(|response| &mut response.trailers.0),
];

impl Message {
    /// The smallest message that `fails` still: first without whole parts, then with fewer lines,
    /// then with shorter values.
    pub fn smallest(mut self, fails: &mut dyn FnMut(&Self) -> bool) -> Self {
        for simpler in SIMPLER {
            self.attempt(fails, simpler);
        }
        for list in LISTS {
            let mut half = list(&mut self.step).map_or(0, |lines| lines.len()).div_ceil(2);
            while half > 0 {
                let mut from = 0;
                while from < list(&mut self.step).map_or(0, |lines| lines.len()) {
                    let removed = self.attempt(fails, |message| {
                        if let Some(lines) = list(&mut message.step) {
                            let to = lines.len().min(from + half);
                            lines.drain(from..to);
                        }
                    });
                    from += if removed { 0 } else { half };
                }
                half /= 2;
            }
            for line in 0..list(&mut self.step).map_or(0, |lines| lines.len()) {
                while self.attempt(fails, |message| shorten(list(&mut message.step).and_then(|l| l.get_mut(line)))) {}
            }
        }
        self
    }

    /// Takes a change where it still fails and is a change at all.
    fn attempt(&mut self, fails: &mut dyn FnMut(&Self) -> bool, change: impl FnOnce(&mut Self)) -> bool {
        let mut changed = self.clone();
        change(&mut changed);
        let other = format!("{changed:?}") != format!("{self:?}");
        let taken = other && fails(&changed);
        if taken {
            *self = changed;
        }
        taken
    }
}

/// Halves a value.
fn shorten(line: Option<&mut (String, Bytes)>) {
    if let Some((_, value)) = line {
        value.0.truncate(value.0.len() / 2);
    }
}

const SIMPLER: [fn(&mut Message); 9] = [
    |message| message.cut = Cut::AsWritten,
    |message| message.step.response = None,
    |message| message.step.reply = None,
    |message| message.step.request_mut().body = None,
    |message| {
        if let Some(body) = &mut message.step.request_mut().body {
            *body = Body::Whole(Bytes(b"x".to_vec()));
        }
    },
    |message| message.step.request_mut().method = "GET".into(),
    |message| message.step.request_mut().path = "/".into(),
    |message| message.step.request_mut().authority = "edge.example".into(),
    |message| {
        if let Some(response) = &mut message.step.response {
            (response.status, response.body) = (200, None);
        }
    },
];
