//! The screens in the test host's README are what the commands print.
//!
//! A block that begins with three backticks and `console` behind the line `<!-- screen -->` is played from `host-test/`: its first line is
//! `$ portcullis …`, the rest its output. A line `…` stands for any number of lines; times don't count, nor do the
//! sizes and hashes of what was built. `../target` is wherever cargo builds.
//! `PORTCULLIS_SCREENS=write cargo test -p host-test --test screens` writes those anew that leave nothing out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{env, fs, process::Command};

use host_test::build::{self, Shell, Workspace};

const BEGIN: &str = "<!-- screen -->\n```console\n$ portcullis ";
const END: &str = "\n```\n";
const LEFT_OUT: &str = "…";

/// What a command prints, both to the screen.
fn output(command: &str) -> String {
    let arguments = command.split_whitespace().map(|argument| argument.replace(TARGET, &target()));
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    // What cargo says of its own.
    let errors = errors.lines().filter(|line| !line.starts_with("    ") && !line.starts_with("   Compiling"));
    let text = String::from_utf8(output.stdout).unwrap() + &errors.collect::<Vec<_>>().join("\n");
    text.trim_end().to_owned()
}

const TARGET: &str = "../target";

fn target() -> String {
    Workspace::find().unwrap().target_directory.display().to_string()
}

/// `12 ms` → `1 ms`, `144.2 KiB` → `1 KiB`, any sha256 → `sha256`: nobody's promise. Where rows of a table hold one of
/// these, what lines up the columns goes too.
fn timeless(text: &str) -> String {
    let text = text.replace(&target(), TARGET);
    text.lines().map(timeless_line).collect::<Vec<_>>().join("\n")
}

fn timeless_line(line: &str) -> String {
    let is_row = line.starts_with(['│', '┌', '╞', '└']);
    let mut words: Vec<&str> = line.split(' ').filter(|word| !is_row || !word.is_empty()).collect();
    for place in 0..words.len() {
        let plain = words[place].trim_end_matches('…');
        let is_hash = plain.len() >= 16 && plain.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash && is_row {
            words[place] = "sha256";
        }
        if place == 0 {
            continue;
        }
        let number = words[place - 1].trim_start_matches('(');
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_number && (words[place].starts_with("ms") || words[place] == "KiB") {
            words[place - 1] = "1";
        }
    }
    let joined = words.join(" ");
    if !is_row {
        return joined;
    }
    let mut shorter = String::new();
    for letter in joined.chars() {
        if !(matches!(letter, '─' | '═') && shorter.ends_with(letter)) {
            shorter.push(letter);
        }
    }
    shorter
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
    build::build_shell(&Workspace::find().unwrap(), Shell::ProxyWasm).unwrap();
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
        let printed = printed.replace(&target(), TARGET);
        let shown = if whole && !shows(screen, &printed) { &printed } else { screen };
        written.push_str(&format!("{BEGIN}{command}\n{shown}{END}{behind}"));
        screens += 1;
    }
    if env::var_os("PORTCULLIS_SCREENS").is_some_and(|value| value == "write") {
        fs::write("README.md", written).unwrap();
    }
    assert!(screens >= 8, "the README shows {screens} screens");
    let remedy = "the README shows something else; PORTCULLIS_SCREENS=write writes what leaves nothing out";
    assert!(wrong.is_empty(), "{remedy}\n\n{}", wrong.join("\n"));
}

#[test]
fn a_screen_may_leave_lines_out_and_times_but_nothing_else() {
    let printed = "one\ntwo\nthree (12 ms)\nfour";
    assert!(shows("one\ntwo\nthree (7 ms)\nfour", printed));
    assert!(shows("one\n…\nfour", printed) && shows("one\n  …\nthree (1 ms)\n…", printed));
    assert!(shows("…\nfour", printed));
    let row = |size: &str, hash: &str| format!("│ a.wasm ┆ {size} KiB ┆ 12 ┆ {hash} │");
    assert!(shows(&row("144.2", "6526f0a7d8609d13…"), &row("91.9", &"ab".repeat(32))));
    assert!(!shows(&row("144.2", "none"), &row("144.2", &"ab".repeat(32))));
    for wrong in ["one\ntwo", "one\n…\nfive", "two\n…", "one\ntwo\nthree (x ms)\nfour", "one\n…\nfour\n…\nfour"]
    {
        assert!(!shows(wrong, printed), "{wrong}");
    }
}
