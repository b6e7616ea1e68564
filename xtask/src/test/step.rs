//! A command with a limit: where nobody watches, what hangs is ended and fails by its name.

use std::io::{IsTerminal, Read, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The longest is a first build of everything, on two cores.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Runs a command to its end; gives what it printed where its output is piped.
pub(super) fn run(command: &mut Command) -> std::io::Result<(ExitStatus, String)> {
    // Whoever sits before a terminal ends it by Ctrl-C, which reaches this process group only.
    let watched = stdin().is_terminal();
    if !watched {
        command.process_group(0);
    }
    let mut child = command.spawn()?;
    let guard = (!watched).then(|| limit(&child));
    let mut printed = String::new();
    if let Some(output) = &mut child.stdout {
        output.read_to_string(&mut printed)?;
    }
    let status = child.wait()?;
    drop(guard);
    Ok((status, printed))
}

/// Ends the child's process group at the limit, unless the guard is dropped before.
fn limit(child: &Child) -> Sender<()> {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let (guard, over) = channel();
    std::thread::spawn(move || {
        if let (Err(RecvTimeoutError::Timeout), Ok(group)) = (over.recv_timeout(LIMIT), group) {
            println!("not done after {} minutes", LIMIT.as_secs() / 60);
            // Gone in the meantime: what was wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    });
    guard
}
