//! The screens in the test host's README are what the commands print.
//!
//! A block that begins with three backticks and `console` behind the line `<!-- screen -->` is played from `host-test/`: its first line is
//! `$ portcullis …`, the rest its output. A line `…` stands for any number of lines; times don't count.
//! `PORTCULLIS_SCREENS=write cargo test -p host-test --test screens` writes those anew that leave nothing out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{env, fs, process::Command};

const BEGIN: &str = "<!-- screen -->\n```console\n$ portcullis ";
const END: &str = "\n```\n";
const LEFT_OUT: &str = "…";

/// What a command prints, both to the screen.
fn output(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(command.split_whitespace()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    text.trim_end().to_owned()
}

/// `12 ms` → `1 ms`: how long it takes is nobody's promise.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for place in 1..words.len() {
        if words[place].starts_with("ms")
            && words[place - 1].trim_start_matches('(').bytes().all(|byte| byte.is_ascii_digit())
        {
            words[place - 1] = "1";
        }
    }
    words.join(" ")
}

/// Whether a screen is what was printed, but for what it leaves out.
fn shows(screen: &str, printed: &str) -> bool {
    let (screen, printed) = (timeless(screen), timeless(printed));
    let printed: Vec<&str> = printed.lines().collect();
    let mut rest = printed.as_slice();
    let lines: Vec<&str> = screen.lines().collect();
    let parts: Vec<&[&str]> = lines.split(|line| line.trim() == LEFT_OUT).collect();
    for (place, part) in parts.iter().enumerate() {
        let (first, last) = (place == 0, place + 1 == parts.len());
        let at = match (first, last) {
            (true, _) => Some(0),
            (_, true) => rest.len().checked_sub(part.len()),
            _ => (0..=rest.len()).find(|at| rest[*at..].starts_with(part)),
        };
        match at.filter(|at| rest[*at..].starts_with(part)) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

#[test]
fn every_screen_of_the_readme_is_what_its_command_prints() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (mut written, mut wrong, mut screens) = (String::new(), Vec::new(), 0);
    let mut parts = readme.split(BEGIN);
    written.push_str(parts.next().unwrap());
    for part in parts {
        let (block, behind) = part.split_once(END).expect("a screen has an end");
        let (command, screen) = block.split_once('\n').unwrap_or((block, ""));
        let printed = output(command);
        let whole = !screen.lines().any(|line| line.trim() == LEFT_OUT);
        if !shows(screen, &printed) {
            wrong.push(format!("$ portcullis {command}\n{printed}\n"));
        }
        let shown = if whole && !shows(screen, &printed) { &printed } else { screen };
        written.push_str(&format!("{BEGIN}{command}\n{shown}{END}{behind}"));
        screens += 1;
    }
    if env::var_os("PORTCULLIS_SCREENS").is_some_and(|value| value == "write") {
        fs::write("README.md", written).unwrap();
    }
    assert!(screens >= 5, "the README shows {screens} screens");
    let remedy = "the README shows something else; PORTCULLIS_SCREENS=write writes what leaves nothing out";
    assert!(wrong.is_empty(), "{remedy}\n\n{}", wrong.join("\n"));
}

#[test]
fn a_screen_may_leave_lines_out_and_times_but_nothing_else() {
    let printed = "one\ntwo\nthree (12 ms)\nfour";
    assert!(shows("one\ntwo\nthree (7 ms)\nfour", printed));
    assert!(shows("one\n…\nfour", printed) && shows("one\n  …\nthree (1 ms)\n…", printed));
    assert!(shows("…\nfour", printed));
    for wrong in ["one\ntwo", "one\n…\nfive", "two\n…", "one\ntwo\nthree (x ms)\nfour", "one\n…\nfour\n…\nfour"]
    {
        assert!(!shows(wrong, printed), "{wrong}");
    }
}
