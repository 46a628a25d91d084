//! Ranks on two hosts: network namespaces of this machine with a cable between them, which can be cut.
//!
//! Making them takes the right to, and the tools; where either is missing, the tests say so and what they leave out.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use parhelion_comm::{Error, ErrorKind, Op};

use crate::processes::{Ended, Job, report};
use crate::{LIMIT, PART, raise_flag, wait_for_flag, world};

/// Rounds of a job in which the cable is cut for a while, before and after that.
const ROUNDS: u64 = 200;

/// Two hosts. They go with the processes that hold them.
struct Hosts([Child; 2]);

impl Hosts {
    /// # Errors
    /// What keeps this process from making them.
    fn new() -> Result<Hosts, String> {
        let hold = || {
            // It ends when the pipe does.
            let mut command = Command::new("unshare");
            command.args(["-n", "sh", "-c", "echo ready; read -r end"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let child = command.stderr(Stdio::null()).spawn().map_err(|e| format!("unshare: {e}"))?;
            Ok::<_, String>(child)
        };
        let mut hosts = Hosts([hold()?, hold()?]);
        for holder in &mut hosts.0 {
            let mut line = String::new();
            let said = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
            if said.is_err() || line != "ready\n" {
                return Err("unshare -n is not permitted".to_owned());
            }
        }
        let there = hosts.0[1].id().to_string();
        hosts.run(0, &["ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &there])?;
        for host in 0..2 {
            let address = format!("10.99.0.{}/24", host + 1);
            hosts.run(host, &["ip", "address", "add", &address, "dev", "cable"])?;
            hosts.run(host, &["ip", "link", "set", "cable", "up"])?;
            hosts.run(host, &["ip", "link", "set", "lo", "up"])?;
        }
        Ok(hosts)
    }

    /// A command on a host, still without its arguments.
    fn command(&self, host: usize, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0[host].id().to_string(), "--net", program]);
        command
    }

    fn run(&self, host: usize, line: &[&str]) -> Result<(), String> {
        let output = self.command(host, line[0]).args(&line[1..]).output().map_err(|e| format!("nsenter: {e}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(format!("{}: {}", line.join(" "), said.trim())) }
    }

    /// Starts three ranks that play `part`, the last one on the second host.
    fn start(&self, part: &str, variables: &[(&str, &str)]) -> Job {
        let program = std::env::current_exe().expect("a program has a path");
        Job::start_at("10.99.0.1:7600-7615", 3, |rank| {
            let mut command = self.command(usize::from(rank == 2), program.to_str().expect("a name of text"));
            command.args(["--exact", "as_a_rank", "--nocapture", "--test-threads=1"]);
            command.env(PART, part).envs(variables.iter().copied());
            command
        })
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for holder in &mut self.0 {
            // It may have ended.
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

/// The hosts, or a word on what is not tested.
fn hosts(test: &str) -> Option<Hosts> {
    Hosts::new().map_err(|why| println!("not run: {test}: {why}")).ok()
}

/// Waits until a rank of `job` has raised the flag.
fn wait_for_ranks(job: &Job) {
    let begin = Instant::now();
    while !job.folder().join("flag").exists() {
        assert!(begin.elapsed() < LIMIT, "the ranks do not meet");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn succeeded(rank: &Ended) -> bool {
    rank.status.is_some_and(|status| status.success())
}

/// A part, by its name.
pub(crate) fn part(word: &str) {
    let rounds = |world: &parhelion_comm::Communicator, n: u64| {
        for round in 0..n {
            assert_eq!(world.all_reduce(&[round; 1000], Op::Sum)?, [3 * round; 1000]);
        }
        Ok::<_, Error>(())
    };
    world(|world| {
        rounds(&world, 10)?;
        if world.rank() == 0 {
            raise_flag();
        }
        match word {
            "cut" => match rounds(&world, u64::MAX) {
                Err(e) if matches!(e.kind(), ErrorKind::PeerLost { .. }) => {
                    println!("lost {}", e.peer().expect("a lost peer"));
                    Ok(())
                }
                ended => ended,
            },
            _ => {
                wait_for_flag();
                rounds(&world, ROUNDS)
            }
        }
    });
}

#[test]
fn ranks_whose_cable_is_cut_lose_each_other() {
    let Some(hosts) = hosts("a cut between hosts") else { return };
    let job = hosts.start("namespaces cut", &[("PARHELION_HEARTBEAT", "2")]);
    wait_for_ranks(&job);
    hosts.run(0, &["ip", "link", "set", "cable", "down"]).expect("a cable that is up");
    let ended = job.finish(LIMIT);
    for (rank, ended_as) in ended.iter().enumerate() {
        let lost = |peer: usize| ended_as.out.contains(&format!("lost {peer}"));
        let right = if rank == 2 { lost(0) || lost(1) } else { lost(2) };
        assert!(succeeded(ended_as) && right, "{}", report(&ended));
    }
}

#[test]
fn a_cut_shorter_than_the_heartbeat_is_no_loss() {
    let Some(hosts) = hosts("a short cut between hosts") else { return };
    let job = hosts.start("namespaces mended", &[("PARHELION_HEARTBEAT", "60")]);
    wait_for_ranks(&job);
    hosts.run(0, &["ip", "link", "set", "cable", "down"]).expect("a cable that is up");
    std::thread::sleep(std::time::Duration::from_millis(300));
    hosts.run(0, &["ip", "link", "set", "cable", "up"]).expect("a cable that is down");
    let ended = job.finish(LIMIT);
    assert!(ended.iter().all(succeeded), "{}", report(&ended));
}

#[test]
fn a_slow_cable_changes_nothing() {
    let test = "a delay between hosts";
    let Some(hosts) = hosts(test) else { return };
    if let Err(why) = hosts.run(0, &["tc", "qdisc", "add", "dev", "cable", "root", "netem", "delay", "20ms", "10ms"]) {
        println!("not run: {test}: {}", why.lines().last().unwrap_or_default());
        return;
    }
    let ended = hosts.start("namespaces slow", &[]).finish(LIMIT);
    assert!(ended.iter().all(succeeded), "{}", report(&ended));
}
