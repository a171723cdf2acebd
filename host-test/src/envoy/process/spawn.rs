//! A child that doesn't outlive its parent, not even one that is killed outright.

use std::{
    fs::File,
    io,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel ends the child when the *thread* that made it ends, not the process. So one thread
/// that never ends makes them all.
static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in orders {
            let _ = answer.send(command.spawn());
        }
    });
    sender
});

/// Starts a program without input, with all its output in the file `log`.
pub fn spawn(mut command: Command, log: &Path) -> io::Result<Child> {
    let log = File::create(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    end_with_parent(&mut command);
    let gone = || io::Error::other("the thread that starts programs is gone");
    let (answer, child) = mpsc::channel();
    SPAWNER.send((command, answer)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no safe way to ask for a signal at the parent's death")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

    let parent: Pid = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above: then no signal will come.
        if getppid() != Some(parent) {
            return Err(io::Error::other("the parent is gone"));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two system
    // calls, and `io::Error::other` is only reached where the child is about to end anyway.
    unsafe { command.pre_exec(tie) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_: &mut Command) {}
