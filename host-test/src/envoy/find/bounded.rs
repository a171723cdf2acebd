//! A program run to its end, or to the end of its time.

use std::{
    io::{Read as _, Seek as _},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Runs a program and collects what it writes. Killed with an error once `within` is over.
/// Its output goes through files: a pipe that nobody drains would stop it half-way.
pub fn run(command: &mut Command, within: Duration) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut stdout = tempfile::tempfile()?;
    let mut stderr = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()
        .with_context(|| format!("can't run {name}"))?;
    let end = Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} took longer than {} s", within.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    for (file, into) in [(&mut stdout, &mut output.stdout), (&mut stderr, &mut output.stderr)] {
        file.rewind()?;
        file.read_to_end(into)?;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_status_are_collected() {
        let output = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), Duration::from_secs(5));
        let output = output.unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
    }
}
