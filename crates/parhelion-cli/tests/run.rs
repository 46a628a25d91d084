//! `parhelion run` with ordinary programs: what they find, what becomes of their output, and how they end.
#![cfg(unix)]

mod command;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use command::{Ended, Scratch, clean, parhelion, run};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Nothing here takes long; what does has hung.
const DEADLINE: Duration = Duration::from_secs(120);

/// `parhelion run ARGS sh -c SCRIPT`.
fn shell(args: &[&str], script: &str) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_parhelion"));
    command.arg("run").args(args).args(["sh", "-c", script]);
    command
}

/// The lines in order, whichever rank was first.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[track_caller]
fn succeeded(ended: &Ended) {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
}

/// A launcher that runs beside the test. One that does not come to its end in time is killed.
struct Running {
    child: Child,
    _in_time: Sender<()>,
    stdin: Option<ChildStdin>,
    stdout: Box<dyn BufRead>,
    stderr: JoinHandle<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let mut pipe = child.stderr.take().expect("piped");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("stderr is text");
            text
        });
        let stdout = Box::new(BufReader::new(child.stdout.take().expect("piped")));
        let (in_time, ended) = channel();
        let launcher = Pid::from_child(&child);
        std::thread::spawn(move || {
            if ended.recv_timeout(2 * DEADLINE) == Err(RecvTimeoutError::Timeout) {
                // It has not been waited for, so that the number is still its own.
                let _ = kill_process(launcher, Signal::KILL);
            }
        });
        Self { stdin: child.stdin.take(), child, _in_time: in_time, stdout, stderr }
    }

    /// The next lines of stdout.
    fn lines(&mut self, number: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.len() < number {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the output ends after {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        lines.sort_unstable();
        lines
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the launcher runs");
    }

    fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("a child can be asked") {
                Some(status) => break status,
                None if start.elapsed() > DEADLINE => {
                    self.child.kill().expect("a child can be ended");
                    panic!("the launcher hangs");
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("stdout is text");
        Ended { code: status.code(), stdout, stderr: self.stderr.join().expect("the reader does not panic") }
    }
}

/// Waits until the process is gone, or dead and not yet waited for by whoever has it now.
#[track_caller]
fn gone(process: &str) {
    let pid = Pid::from_raw(process.parse().expect("a process id")).expect("not 0");
    let start = Instant::now();
    while test_kill_process(pid).is_ok() {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "process {process} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_rank_learns_who_it_is() {
    for size in [1, 3, 64] {
        let script = r#"echo "$PARHELION_RANK of $PARHELION_SIZE, here $PARHELION_LOCAL_RANK, $0 $*""#;
        let mut command = shell(&["-n", &size.to_string()], script);
        command.args(["-n", "7", "--", "a b"]);
        let ended = run(command);
        succeeded(&ended);
        let mut want: Vec<_> = (0..size).map(|rank| format!("{rank} of {size}, here {rank}, -n 7 -- a b")).collect();
        want.sort_unstable();
        assert_eq!(sorted(&ended.stdout), want);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn rank_0_alone_inherits_the_socket_that_listens() {
    let script = r#"ls -l /proc/self/fd | grep -c socket:; echo "fd ${PARHELION_RENDEZVOUS_FD-none} at $PARHELION_RENDEZVOUS"
        [ "$PARHELION_RANK" != 0 ] || readlink "/proc/$$/fd/$PARHELION_RENDEZVOUS_FD""#;
    let mut command = shell(&["-n", "3", "--tag-output"], script);
    // Of a launcher that started this one.
    command.env("PARHELION_RENDEZVOUS_FD", "77");
    let ended = run(command);
    succeeded(&ended);
    let of = |rank: usize| -> Vec<&str> {
        let tag = format!("[{rank}] ");
        ended.stdout.lines().filter_map(|line| line.strip_prefix(tag.as_str())).collect()
    };
    assert_eq!(of(0)[0], "1", "{}", ended.stdout);
    assert!(of(0)[2].starts_with("socket:"), "{}", ended.stdout);
    for rank in [1, 2] {
        assert_eq!(of(rank)[0], "0", "{}", ended.stdout);
        assert!(of(rank)[1].starts_with("fd none at 127.0.0.1:"), "{}", ended.stdout);
    }
}

#[test]
fn standard_input_is_rank_0s() {
    let mut running = Running::start(shell(&["-n", "3", "--tag-output"], "cat; echo end"));
    running.stdin.as_mut().unwrap().write_all(b"one\ntwo").unwrap();
    let ended = running.end();
    succeeded(&ended);
    assert_eq!(sorted(&ended.stdout), ["[0] one", "[0] twoend", "[1] end", "[2] end"]);
}

#[test]
fn output_passes_through_untouched() {
    let ended = run(shell(&["-n", "1"], r"printf '10 %%\r\033[1m20 %%'; printf 'a\n\nb' >&2"));
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("10 %\r\u{1b}[1m20 %", "a\n\nb"));
    assert_eq!(ended.code, Some(0));
}

#[test]
fn tagged_lines_stay_whole() {
    // Longer than what a pipe takes at once, and without an end at last.
    let script = r#"line=$(head -c 100000 /dev/zero | tr '\0' "$PARHELION_RANK")
        for i in 1 2 3 4 5 6 7 8; do echo "$line"; echo "err $i" >&2; done; printf last"#;
    let ended = run(shell(&["-n", "4", "--tag-output"], script));
    assert_eq!(ended.code, Some(0));
    assert_eq!((ended.stdout.lines().count(), ended.stderr.lines().count()), (4 * 9, 4 * 8));
    for rank in 0..4 {
        let line = format!("[{rank}] {}", rank.to_string().repeat(100_000));
        assert_eq!(ended.stdout.lines().filter(|l| *l == line).count(), 8, "rank {rank}");
        assert!(ended.stdout.contains(&format!("[{rank}] last\n")), "rank {rank}");
        let prefix = format!("[{rank}] err ");
        let mut errors = ended.stderr.lines().filter_map(|l| l.strip_prefix(prefix.as_str()));
        assert!(["1", "2", "3", "4", "5", "6", "7", "8"].iter().all(|n| errors.next() == Some(n)), "rank {rank}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_ranks_as_without_a_launcher() {
    let mut running = Running::start(shell(&["-n", "2", "--tag-output"], "while echo word; do :; done"));
    running.lines(1);
    running.stdout = Box::new(std::io::empty());
    let ended = running.end();
    assert!(ended.code.is_some_and(|code| code != 0), "{}", ended.stderr);
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    // Its ranks do not notice: the pipe takes all they have.
    let launcher = r#"exec "$0" run -n 2 --tag-output "$@" >/dev/full"#;
    let tagged = |program: &[&str]| {
        let mut command = clean("sh");
        command.args(["-c", launcher, env!("CARGO_BIN_EXE_parhelion")]).args(program);
        run(command)
    };
    let why = "error: cannot write to standard output: No space left on device";
    for text in ["whole\\n", "without an end"] {
        let ended = tagged(&["printf", text]);
        assert_eq!((ended.code, ended.stderr.trim_end()), (Some(2), why));
    }
    // What else went wrong is told, too.
    let ended = tagged(&["sh", "-c", "echo word; exit $((3 * (1 - PARHELION_RANK)))"]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.lines().any(|line| line == why), "{}", ended.stderr);
}

#[test]
fn more_ranks_than_can_be_watched_are_refused_before_the_first_starts() {
    let scratch = Scratch::new("crowd");
    let started = scratch.path("started");
    let mut command = clean("sh");
    let script = r#"ulimit -n 64; exec "$0" run -n 100 touch "$1""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_parhelion"), &started]);
    let ended = run(command);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: 100 ranks need "), "{}", ended.stderr);
    assert!(ended.stderr.contains("allows this process 64") && ended.stderr.contains("ulimit -n"), "{}", ended.stderr);
    assert!(!std::path::Path::new(&started).exists(), "a rank was started");
}

#[test]
fn a_folder_whose_name_is_no_text_holds_the_secret() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new("bytes");
    let folder = std::path::Path::new(&scratch.path("")).join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    let this = env!("CARGO_BIN_EXE_parhelion");
    let mut command = clean(this);
    command.args(["run", "-n", "2", this, "solve", "--pde", "3", "--json"]).env("TMPDIR", &folder);
    succeeded(&run(command));
}

#[test]
fn the_first_failure_ends_all_and_is_named_with_its_last_words() {
    let script = r#"[ "$PARHELION_RANK" = 2 ] || exec sleep 600
        echo warning >&2; printf '\033[31mbad thing\033[0m\n\n' >&2; exit 3"#;
    for args in [&["-n", "4"][..], &["-n", "4", "--tag-output"]] {
        let ended = run(shell(args, script));
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().last(), Some("error: rank 2 exited with code 3: bad thing"));
        assert_eq!(ended.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", ended.stderr);
    }
    let ended = run(shell(&["-n", "3"], r#"[ "$PARHELION_RANK" = 1 ] && kill -9 $$; exec sleep 600"#));
    assert_eq!(ended.code, Some(128 + 9));
    assert_eq!(ended.stderr, "error: rank 1 was killed by signal 9 (SIGKILL)\n");
}

#[test]
fn a_rank_that_will_not_end_is_killed() {
    let script = r#"trap '' TERM; echo $$; [ "$PARHELION_RANK" = 0 ] || exec sleep 600; read -r line; exit 1"#;
    let mut running = Running::start(shell(&["-n", "2"], script));
    let processes = running.lines(2);
    running.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
    let ended = running.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "error: rank 0 exited with code 1\n"));
    processes.iter().for_each(|process| gone(process));
}

#[test]
fn with_keep_going_the_others_finish() {
    let scratch = Scratch::new("keep-going");
    let mut command = shell(
        &["-n", "3", "--keep-going"],
        // A process that is waited for can no longer be signalled: by then the launcher knows.
        r#"if [ "$PARHELION_RANK" = 1 ]; then echo $$ >pid; mv pid failed; echo "no luck" >&2; exit 5; fi
        until [ -f failed ]; do sleep 0.01; done
        while kill -0 "$(cat failed)" 2>/dev/null; do sleep 0.01; done
        sleep 0.2; echo done"#,
    );
    command.current_dir(scratch.path(""));
    let ended = run(command);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(5), "done\ndone\n"), "{}", ended.stderr);
    assert_eq!(ended.stderr, "no luck\nerror: rank 1 exited with code 5: no luck\n");
}

#[test]
fn signals_are_passed_on() {
    for (signal, name) in [(Signal::USR1, "USR1"), (Signal::USR2, "USR2"), (Signal::HUP, "HUP"), (Signal::TERM, "TERM")]
    {
        let script = format!("trap 'echo got; exit 0' {name}; echo ready; while :; do sleep 0.02; done");
        let mut running = Running::start(shell(&["-n", "3"], &script));
        assert_eq!(running.lines(3), ["ready"; 3]);
        running.send(signal);
        let ended = running.end();
        succeeded(&ended);
        assert_eq!(ended.stdout, "got\ngot\ngot\n", "{name}");
    }
}

#[test]
fn stopping_and_going_on_is_passed_on() {
    let script = "trap 'echo again; exit 0' CONT; echo $$; while :; do sleep 0.02; done";
    let is_stopped = |process: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    for is_orphaned in [false, true] {
        let mut command = shell(&["-n", "2"], script);
        if is_orphaned {
            // As below `nohup` or `cron`, where SIGTSTP stops nothing.
            // SAFETY: setsid(2) is async-signal-safe, and the closure touches no memory.
            unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
        } else {
            command.process_group(0);
        }
        let mut running = Running::start(command);
        let processes = running.lines(2);
        running.send(Signal::TSTP);
        let start = Instant::now();
        let launcher = running.child.id().to_string();
        let all_are = || is_stopped(&launcher) && processes.iter().all(|process| is_stopped(process));
        while cfg!(target_os = "linux") && !all_are() {
            assert!(start.elapsed() < DEADLINE, "they do not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        running.send(Signal::CONT);
        let ended = running.end();
        succeeded(&ended);
        assert_eq!(ended.stdout, "again\nagain\n");
    }
}

#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let mut command = clean("sh");
    let script = "trap 'exit 0' USR1; echo ready; while :; do sleep 0.02; done";
    let outer = r#"trap '' HUP; exec "$0" run -n 2 sh -c "$1""#;
    command.args(["-c", outer, env!("CARGO_BIN_EXE_parhelion"), script]);
    let mut running = Running::start(command);
    running.lines(2);
    running.send(Signal::HUP);
    running.send(Signal::USR1);
    succeeded(&running.end());
}

#[test]
fn an_interrupt_leaves_no_process_and_no_file() {
    for (signal, code, name) in [(Signal::INT, 130, "SIGINT"), (Signal::QUIT, 131, "SIGQUIT")] {
        let scratch = Scratch::new(name);
        let mut command = shell(&["-n", "3"], "ulimit -c 0; echo $$; exec sleep 600");
        command.env("TMPDIR", scratch.path(""));
        let mut running = Running::start(command);
        let processes = running.lines(3);
        assert_eq!(std::fs::read_dir(scratch.path("")).unwrap().count(), 1, "the secret lies here");
        running.send(signal);
        let ended = running.end();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!(" was ended by {name}, ")), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        processes.iter().for_each(|process| gone(process));
        assert_eq!(std::fs::read_dir(scratch.path("")).unwrap().count(), 0);
    }
}

#[test]
fn the_third_interrupt_kills() {
    let mut running = Running::start(shell(&["-n", "2"], "trap '' INT TERM; echo $$; exec sleep 600"));
    let processes = running.lines(2);
    let start = Instant::now();
    while running.child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < DEADLINE, "three interrupts do not kill");
        running.send(Signal::INT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(128 + 9), "{}", ended.stderr);
    processes.iter().for_each(|process| gone(process));
}

#[test]
#[cfg(target_os = "linux")]
fn ranks_end_with_their_launcher() {
    // Where the folder that it can no longer remove goes away with the test.
    let scratch = Scratch::new("run-killed");
    let mut command = shell(&["-n", "3"], "echo $$; exec sleep 600");
    command.env("TMPDIR", scratch.path(""));
    let mut running = Running::start(command);
    let processes = running.lines(3);
    running.send(Signal::KILL);
    assert_eq!(running.end().code, None);
    processes.iter().for_each(|process| gone(process));
}

#[test]
#[cfg(target_os = "linux")]
fn the_secret_is_in_one_file_that_only_its_user_reads() {
    let scratch = Scratch::new("secret");
    let mut command = shell(
        &["-n", "2", "--tag-output"],
        r#"file=$PARHELION_SECRET_FILE; stat -c '%a %s' "$file"; stat -c %a "${file%/*}"
        for process in $$ $PPID; do
            for what in cmdline environ; do grep -c -f "$file" "/proc/$process/$what"; done
        done; cksum <"$file""#,
    );
    command.env("TMPDIR", scratch.path(""));
    let ended = run(command);
    succeeded(&ended);
    let of = |rank: usize| -> Vec<&str> {
        let tag = format!("[{rank}] ");
        ended.stdout.lines().filter_map(|line| line.strip_prefix(tag.as_str())).collect()
    };
    assert_eq!(of(0)[..6], ["600 64", "700", "0", "0", "0", "0"]);
    assert_eq!(of(0), of(1), "all have the same");
    assert_eq!(std::fs::read_dir(scratch.path("")).unwrap().count(), 0, "it goes away");
    assert_ne!(of(0)[6], "", "{}", ended.stdout);
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_can_be_bound_to_a_core() {
    let ended = run(shell(&["-n", "3", "--bind", "core"], "grep Cpus_allowed_list /proc/self/status"));
    succeeded(&ended);
    assert_eq!(ended.stdout.lines().count(), 3);
    for line in ended.stdout.lines() {
        let cores = line.split_whitespace().last().unwrap();
        assert!(cores.parse::<u32>().is_ok(), "{line}");
    }
}

/// A remote shell that stays here and writes down what it is told. As with a real one, what it runs is in a session of its own, and
/// does not end when it is killed.
fn remote_shell(scratch: &Scratch) -> String {
    let log = scratch.path("told");
    let script = format!(
        "#!/bin/sh\nhost=$1\nshift\nprintf '%s: %s\\n' \"$host\" \"$*\" >>'{log}'\ncd /\nsetsid sh -c \"$*\"\n"
    );
    let path = scratch.file("rsh", script);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    path
}

/// With ranks on hosts as `hosts` lists them, all of which are here.
fn on_hosts(scratch: &Scratch, hosts: &str, args: &[&str], script: &str) -> Command {
    let file = scratch.file("hosts", hosts);
    let mut command = shell(&[&["--host-file", &file][..], args].concat(), script);
    std::fs::create_dir_all(scratch.path("tmp")).unwrap();
    std::fs::create_dir_all(scratch.path("it's work")).unwrap();
    command.current_dir(scratch.path("it's work")).env("TMPDIR", scratch.path("tmp"));
    command.env("PARHELION_RSH", remote_shell(scratch)).env("PARHELION_TIMEOUT", "7 '\"$HOME");
    command
}

#[test]
fn ranks_of_other_hosts_are_started_by_a_remote_shell() {
    let scratch = Scratch::new("hosts");
    let script = r#"cat; echo "$PARHELION_RANK $PARHELION_SIZE $PARHELION_LOCAL_RANK ${PWD##*/} $PARHELION_TIMEOUT $1"
        echo "at ${PARHELION_RENDEZVOUS%%:*} $(cksum <"$PARHELION_SECRET_FILE")"; cat "$PARHELION_SECRET_FILE" >../secret"#;
    for (hosts, name) in [("localhost\nnear slots=2\n", None), ("near slots=2\nfar\n", Some("near"))] {
        let mut command = on_hosts(&scratch, hosts, &["--tag-output", "--ports", "30100-30110"], script);
        command.args(["sh", "it's $1"]);
        let mut running = Running::start(command);
        running.stdin.as_mut().unwrap().write_all(b"input\n").unwrap();
        let ended = running.end();
        succeeded(&ended);
        let lines = sorted(&ended.stdout);
        let locals = if name.is_some() { [0, 1, 0] } else { [0, 0, 1] };
        let mut places: Vec<&str> = Vec::new();
        for (rank, local) in locals.into_iter().enumerate() {
            let want = format!("[{rank}] {rank} 3 {local} it's work 7 '\"$HOME it's $1");
            assert!(lines.contains(&want.as_str()), "{want}\n{}", ended.stdout);
            let tag = format!("[{rank}] at ");
            places.extend(lines.iter().filter_map(|line| line.strip_prefix(tag.as_str())));
        }
        assert_eq!(places.len(), 3, "{}", ended.stdout);
        assert!(places.iter().all(|place| place == &places[0]), "one address and one secret: {places:?}");
        assert!(name.is_none_or(|name| places[0].starts_with(&format!("{name} "))), "{places:?}");
        assert_eq!(lines.iter().filter(|line| line.ends_with("input")).collect::<Vec<_>>(), [&"[0] input"]);
        let secret = std::fs::read_to_string(scratch.path("secret")).unwrap();
        let told = std::fs::read_to_string(scratch.path("told")).unwrap();
        assert!(secret.len() >= 32 && told.contains("near: ") && !told.contains(&secret), "{told}");
        assert_eq!(std::fs::read_dir(scratch.path("tmp")).unwrap().count(), 0, "no file is left");
    }
}

#[test]
fn a_failure_ends_ranks_on_every_host() {
    let scratch = Scratch::new("hosts-fail");
    let script = r#"echo $$; [ "$PARHELION_RANK" = 1 ] || exec sleep 600
        until [ -f ../go ]; do sleep 0.01; done; echo no >&2; exit 4"#;
    for hosts in ["localhost\nnear slots=2\n", "near slots=2\nlocalhost\n"] {
        let mut running = Running::start(on_hosts(&scratch, hosts, &["-n", "3"], script));
        let processes = running.lines(3);
        scratch.file("go", "");
        let ended = running.end();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().last(), Some("error: rank 1 on near exited with code 4: no"));
        processes.iter().for_each(|process| gone(process));
        // Nobody waits for the shell of rank 0 on another host.
        let start = Instant::now();
        while std::fs::read_dir(scratch.path("tmp")).unwrap().count() > 0 {
            assert!(start.elapsed() < DEADLINE, "a file is left");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(scratch.path("go")).unwrap();
    }
}

#[test]
fn signals_reach_other_hosts() {
    let scratch = Scratch::new("hosts-signal");
    let script = "trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.02; done";
    let mut running = Running::start(on_hosts(&scratch, "localhost\nnear slots=2\n", &[], script));
    running.lines(3);
    running.send(Signal::USR1);
    let ended = running.end();
    succeeded(&ended);
    assert_eq!(ended.stdout, "got\ngot\ngot\n");
}

#[test]
fn what_cannot_be_started_is_one_clear_line_and_code_2() {
    let scratch = Scratch::new("run-bad");
    let hosts = |content: &str| scratch.file(&format!("{:x}", content.len()), content);
    let (good, wrong, empty) = (hosts("localhost\n"), hosts("localhost\n\nnode slots=many\n"), hosts("# none\n"));
    let folder = scratch.path("");
    for (args, words) in [
        (&["-n", "0", "true"][..], "--ranks"),
        (&["-n", "x", "true"], "--ranks"),
        (&[], "PROGRAM"),
        (&["-n", "2"], "PROGRAM"),
        (&["--bind", "socket", "true"], "--bind"),
        (&["-n", "2", "no-such-program-here"], "cannot start 'no-such-program-here': No such file or directory"),
        (&["-n", "2", &folder], "cannot start"),
        (&["--host-file", "/nowhere/hosts", "true"], "/nowhere/hosts: cannot read: No such file or directory"),
        (&["--host-file", &wrong, "true"], ":3: 'slots=many' follows the host; 'host slots=N' is expected"),
        (&["--host-file", &empty, "true"], "it lists no host"),
        (&["--host-file", &good, "-n", "2", "true"], "it has 1 slots for 2 ranks"),
        (&["--host-file", &good, "--ports", "9-1", "true"], "--ports"),
    ] {
        let ended = parhelion(&[&["run"], args].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(words), "{args:?}: {}", ended.stderr);
        let is_ours = !["--", "PROGRAM"].iter().any(|start| words.starts_with(start));
        assert!(!is_ours || ended.stderr.lines().count() == 1, "{args:?}: {}", ended.stderr);
    }
    let mut command = shell(&["--host-file", &hosts("node slots=1\n")], "true");
    command.env("PARHELION_RSH", "no-such-shell -x");
    let ended = run(command);
    assert_eq!(ended.stderr, "error: cannot start 'no-such-shell': No such file or directory\n");
}
