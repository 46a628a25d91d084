//! Starting one rank, here or through a remote shell.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Job;
use super::hosts::Place;
use super::relay::{Source, Stream};
use super::session::Session;
use crate::cores::Core;
use crate::error::{Error, Result, in_words};

/// What starts a program on another host: `PROGRAM HOST COMMAND`.
const REMOTE_SHELL: &str = "PARHELION_RSH";

/// Run by `sh` on another host. Its standard input begins with the secret's line; of ranks other than 0 the rest are names of
/// signals for the program, which is ended when there will be no more: then the launcher is gone. Rank 0 reads the rest itself; it
/// is ended when the shell's parent is gone, the connection's end on this host, which the launcher cuts. Where it may not be asked for
/// (`kill -0`), as a process of another user, that is left out. The shell itself says what signal has ended the program, perhaps to
/// nobody: that must not keep it from removing the secret.
const REMOTE: &str = r#"
IFS= read -r secret && folder=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/parhelion-run.XXXXXX") || exit 2
trap 'rm -rf "$folder"' EXIT
trap : PIPE
(umask 077 && printf %s "$secret" >"$folder/secret") || exit 2
unset secret
export PARHELION_SECRET_FILE="$folder/secret"
cd "$1" && shift || exit 2
while [ "$1" != -- ]; do export "$1" && shift || exit 2; done
shift
exec 3<&0 </dev/null
if [ "$PARHELION_RANK" = 0 ]; then "$@" <&3 3<&- & else "$@" 3<&- & fi
program=$!
trap 'kill -s TERM "$program" 2>/dev/null' HUP INT TERM
guard=
if [ "$PARHELION_RANK" != 0 ]; then
    (
        trap - EXIT HUP INT TERM
        while read -r signal; do kill -s "$signal" "$program"; done
        kill -s TERM "$program" && sleep 2 && kill -s KILL "$program"
    ) <&3 3<&- >/dev/null 2>&1 &
    guard=$!
elif kill -0 "$PPID" 2>/dev/null; then
    (
        trap - EXIT HUP INT TERM
        while kill -0 "$PPID"; do sleep 1; done
        kill -s TERM "$program" && sleep 2 && kill -s KILL "$program"
    ) </dev/null 3<&- >/dev/null 2>&1 &
    guard=$!
fi
exec 3<&-
wait "$program"
code=$?
while kill -0 "$program" 2>/dev/null; do
    wait "$program"
    code=$?
done
[ -z "$guard" ] || kill -s KILL "$guard" 2>/dev/null
exit "$code"
"#;

/// A rank that was started.
pub(super) struct Started {
    pub(super) child: Child,
    /// Of a rank on another host, other than 0: takes the names of signals, a line each; closing it ends the program.
    pub(super) control: Option<ChildStdin>,
    pub(super) sources: Vec<Source>,
}

/// Starts `rank`. From the main thread only: the kernel ends a rank when the thread that started it ends.
///
/// # Errors
/// There is no such program, or it may not be executed; the system can hold no more processes.
pub(super) fn rank(job: &Job, session: &Session, rank: usize, place: &Place) -> Result<Started> {
    let mut command = match &place.host {
        None => local(job, session, rank, place)?,
        Some(host) => remote(job, session, rank, place, host)?,
    };
    if job.tag_output {
        command.stdout(Stdio::piped());
    }
    if hears_stderr(job.tag_output) {
        command.stderr(Stdio::piped());
    }
    let program = command.get_program().to_owned();
    let mut child = command.spawn().map_err(|error| {
        let why = in_words(&error);
        Error::Input(format!("cannot start '{}': {why}", program.display()))
    })?;
    let mut sources = Vec::new();
    let pipes: [(_, Option<OwnedFd>); 2] =
        [(Stream::Stdout, child.stdout.take().map(Into::into)), (Stream::Stderr, child.stderr.take().map(Into::into))];
    for (stream, pipe) in pipes {
        if let Some(pipe) = pipe {
            let source = Source::new(rank, stream, pipe, job.tag_output);
            sources
                .push(source.map_err(|error| Error::Input(format!("cannot read what rank {rank} prints: {error}")))?);
        }
    }
    let mut control = child.stdin.take();
    if let Some(pipe) = &mut control {
        // A shell that has ended already tells why by its exit code.
        let _ = writeln!(pipe, "{}", session.secret());
    }
    if rank == 0
        && let Some(mut pipe) = control.take()
    {
        // Ends with our input or with the process; a rank that reads no more is no error.
        let _ = std::thread::Builder::new().name("stdin".into()).spawn(move || io::copy(&mut io::stdin(), &mut pipe));
    }
    Ok(Started { child, control, sources })
}

/// Whether what ranks say on stderr goes through this process.
fn hears_stderr(tag_output: bool) -> bool {
    tag_output || !io::stderr().is_terminal()
}

/// How many descriptors a rank of this machine takes here, 1 where it is none: rank 0 has one for it then.
pub(super) fn descriptors(tag_output: bool) -> u64 {
    (u64::from(tag_output) + u64::from(hears_stderr(tag_output))).max(1)
}

fn local(job: &Job, session: &Session, rank: usize, place: &Place) -> Result<Command> {
    let mut command = Command::new(&job.program[0]);
    command.args(&job.program[1..]);
    // Those of a launcher that started us.
    command.env_remove("PARHELION_RENDEZVOUS_FD");
    command.envs(session.variables(rank, place)).envs(session.local_variables(rank));
    if rank > 0 {
        command.stdin(Stdio::null());
    }
    let inherited = session.inherited_by(rank);
    let core = job.bind.then(|| Core::of(place.local_rank)).transpose();
    before_exec(&mut command, inherited, core.map_err(|why| Error::Input(format!("--bind: {why}")))?);
    Ok(command)
}

fn remote(job: &Job, session: &Session, rank: usize, place: &Place, host: &str) -> Result<Command> {
    let shell = std::env::var_os(REMOTE_SHELL).filter(|shell| !shell.is_empty()).unwrap_or_else(|| "ssh".into());
    let words: Vec<&OsStr> = shell.as_bytes().split(u8::is_ascii_whitespace).map(OsStr::from_bytes).collect();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let program = words.next().ok_or_else(|| Error::Input(format!("{REMOTE_SHELL} names no program")))?;
    let folder =
        std::env::current_dir().map_err(|error| Error::Input(format!("there is no working directory: {error}")))?;
    let mut line: Vec<OsString> =
        vec!["exec".into(), "sh".into(), "-c".into(), quoted(OsStr::new(REMOTE)), "sh".into()];
    line.push(quoted(folder.as_os_str()));
    let own = session.variables(rank, place);
    // The settings of this run; where it is told by the launcher, by this one.
    let settings = std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PARHELION_"));
    let foreign = ["PARHELION_SECRET_FILE", "PARHELION_RENDEZVOUS_FD", REMOTE_SHELL];
    let settings = settings.filter(|(name, _)| !foreign.iter().any(|foreign| name == foreign));
    for (name, value) in settings.chain(own.into_iter().map(|(name, value)| (name.into(), value))) {
        line.push(quoted(&[name, value].join(OsStr::new("="))));
    }
    line.push("--".into());
    line.extend(job.program.iter().map(|word| quoted(word)));
    let mut command = Command::new(program);
    command.args(words).arg(host).arg(line.join(OsStr::new(" "))).stdin(Stdio::piped());
    before_exec(&mut command, None, None);
    Ok(command)
}

/// A word for a POSIX shell.
fn quoted(word: &OsStr) -> OsString {
    let mut quoted = vec![b'\''];
    for byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

/// What the new process does before it becomes the program: it asks to end when its launcher does, keeps the descriptor
/// `inherited`, and binds itself to `core`.
fn before_exec(command: &mut Command, inherited: Option<RawFd>, core: Option<Core>) {
    let launcher = rustix::process::getpid();
    let prepare = move || {
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        if rustix::process::getppid() != Some(launcher) {
            // It ended before it could be asked for that.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(core) = &core {
            core.bind()?;
        }
        if let Some(number) = inherited {
            // SAFETY: the session has it open until rank 0 was started, and the copy of it here lives until exec.
            let file = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, which are async-signal-safe, on values made before; nothing
    // is allocated.
    unsafe { command.pre_exec(prepare) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_to_a_shell() {
        for word in ["", "plain", "two words", "it's", "$HOME `id` \\ \"", "a\nb", "*"] {
            let out =
                Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word.as_ref()).display())).output();
            assert_eq!(out.unwrap().stdout, word.as_bytes(), "{word}");
        }
    }
}
