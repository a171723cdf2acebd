//! One callback: it logs itself, then the groups that are for it run.

use std::rc::Rc;

use crate::{
    imports,
    script::Script,
    state,
    statements::{self, End},
};

const CONFIGURATION: u32 = 7;
const VM_CONFIGURATION: u32 = 6;
const INFO: u32 = 2;
const ERROR: u32 = 4;

pub fn log(level: u32, line: &str) {
    // SAFETY: the text is valid for reading its size while the call lasts.
    unsafe { imports::proxy_log(level, line.as_ptr() as u32, line.len() as u32) };
}

/// Reads the script out of a configuration. `false` where it can't be read.
fn read(buffer: u32, root: u32) -> bool {
    let text = statements::buffer(buffer);
    if text.is_empty() {
        return true;
    }
    match Script::parse(&String::from_utf8_lossy(&text)) {
        Ok(script) => state::with(|state| state.scripts.borrow_mut().insert(root, Rc::new(script))),
        Err(error) => {
            log(ERROR, &format!("script refused: {error}"));
            return false;
        }
    };
    true
}

/// Runs a callback; what the script returns, else `default`.
pub fn callback(name: &'static str, context: u32, arguments: &str, end: bool, default: u32) -> u32 {
    let read = match name {
        "vm_start" => read(VM_CONFIGURATION, context),
        "configure" => read(CONFIGURATION, context),
        _ => true,
    };
    if !read {
        return 0;
    }
    let script =
        state::with(|state| state.scripts.borrow().get(&state.root(context)).map(Rc::clone)).unwrap_or_default();
    let call = state::with(|state| {
        let mut calls = state.calls.borrow_mut();
        let call = calls.entry((context, name)).or_default();
        *call += 1;
        *call
    });
    let speaker = script.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    if script.trace || script.groups.iter().any(|group| group.callback == name) {
        let id = if script.ids { format!(" #{context}") } else { String::new() };
        log(INFO, format!("{speaker}{name}{id} {arguments}").trim_end());
    }
    let mut returned = default;
    'groups: for group in &script.groups {
        // Asked when it is its turn: groups before it may have changed what is there.
        if !group.runs(name, context, call, end, &statements::is_stored) {
            continue;
        }
        for statement in &group.statements {
            match statements::run(statement) {
                Ok(answer) => log(INFO, &format!("{speaker}{name} {} -> {answer}", statement.text)),
                Err(End::Returned(number)) => {
                    returned = number;
                    break 'groups;
                }
            }
        }
    }
    if name == "delete" {
        state::with(|state| {
            state.calls.borrow_mut().retain(|(id, _), _| *id != context);
            state.roots.borrow_mut().remove(&context);
            state.scripts.borrow_mut().remove(&context);
        });
    }
    returned
}
