//! Ranks that meet, as threads of one process.

mod replay;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::doors::listen;
use super::meeting::Meeting;
use super::message::{HEAD, Message};
use super::seat::Seat;
use super::{Handshake, HostId, JobKey, Joined, Member, Stream, UnixName, join};
use crate::config::Config;
use crate::error::Result;

/// Beyond this a test hangs.
const HANG: Duration = Duration::from_secs(120);

/// How long ranks wait for one that does not come: long enough for those who do.
const WAIT: Duration = Duration::from_secs(6);

fn config(timeout: Duration) -> Config {
    Config { join_timeout: timeout, ..Config::default() }
}

fn key() -> JobKey {
    JobKey::new(b"a secret of sixteen bytes or more", "job")
}

/// A listener at `ip` and where that is.
fn place(ip: IpAddr) -> (TcpListener, Meeting) {
    let listener = listen(SocketAddr::new(ip, 0)).unwrap();
    let meeting = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, meeting)
}

/// The seats of a job on the loopback, whose rank 0 listens already.
fn seats(size: usize) -> Vec<Seat> {
    let (listener, meeting) = place(Ipv4Addr::LOCALHOST.into());
    let mut seats: Vec<Seat> = (0..size).map(|rank| Seat::for_test(rank, size, meeting.clone(), &key())).collect();
    seats[0].listener = Some(listener);
    seats
}

/// What comes of it if all of `seats` try to meet, in their order.
fn meet(seats: Vec<Seat>, config: &Config) -> Vec<Result<Joined>> {
    let count = seats.len();
    let (done, results) = mpsc::channel();
    for (i, seat) in seats.into_iter().enumerate() {
        let (done, config) = (done.clone(), config.clone());
        thread::spawn(move || drop(done.send((i, join(&seat, &config)))));
    }
    let mut met: Vec<_> = (0..count).map(|_| results.recv_timeout(HANG).expect("a rank hangs")).collect();
    met.sort_by_key(|(i, _)| *i);
    met.into_iter().map(|(_, result)| result).collect()
}

/// The errors of ranks that cannot meet.
fn refusals(seats: Vec<Seat>, config: &Config) -> Vec<String> {
    meet(seats, config).into_iter().map(|result| result.expect_err("they met").to_string()).collect()
}

/// That the ranks know one thing, and that every connection and every door is what it should be.
fn check(mut met: Vec<Joined>) {
    met.sort_by_key(|joined| joined.rank);
    let size = met.len();
    let roster = met[0].roster.clone();
    assert_eq!(roster.len(), size);
    for (rank, joined) in met.iter().enumerate() {
        assert_eq!((joined.rank, joined.size), (rank, size));
        assert_eq!(joined.roster, roster);
        assert_eq!(joined.key.code(&[b"x"]), met[0].key.code(&[b"x"]));
        assert_ne!(joined.key.code(&[b"x"]), key().code(&[b"x"]), "the key of the rendezvous is not for links");
        assert_eq!(joined.doors.tcp.local_addr().unwrap(), roster[rank].tcp);
        let there: Vec<usize> = joined.star.iter().map(|(peer, _)| *peer).collect();
        assert_eq!(there, if rank == 0 { (1..size).collect() } else { vec![0] });
        for (_, stream) in &joined.star {
            let Stream::Tcp(stream) = stream else { panic!("the ranks meet over TCP") };
            assert_eq!((stream.read_timeout().unwrap(), stream.write_timeout().unwrap()), (None, None));
        }
        if rank > 0 {
            (&joined.star[0].1).write_all(&[rank as u8]).unwrap();
        }
    }
    for (peer, stream) in &met[0].star {
        let mut byte = [0];
        (&mut &*stream).read_exact(&mut byte).unwrap();
        assert_eq!(byte[0] as usize, *peer);
    }
    for joined in &met {
        for here in [None, HostId::here()] {
            let mut stream = Stream::start(&roster[joined.rank], here.as_ref()).unwrap();
            assert_eq!(matches!(stream, Stream::Unix(_)), here.is_some());
            let mut other = until(|| match &stream {
                Stream::Tcp(_) => joined.doors.tcp.accept().map(|(stream, _)| Stream::tcp(stream).unwrap()),
                Stream::Unix(_) => joined.doors.unix.as_ref().unwrap().accept().map(|(stream, _)| Stream::unix(stream)),
            });
            stream.set_nonblocking(false).unwrap();
            stream.error().unwrap();
            other.write_all(b"hello").unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"hello");
        }
    }
}

/// Tries again while it would have to wait.
fn until<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    let end = Instant::now() + HANG;
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}

#[test]
fn ranks_meet_in_any_number_and_order() {
    for size in [1, 2, 7, 64] {
        let mut there = seats(size);
        check(meet(there, &config(HANG)).into_iter().map(Result::unwrap).collect());
        there = seats(size);
        there.reverse();
        check(meet(there, &config(HANG)).into_iter().map(Result::unwrap).collect());
    }
}

#[test]
fn ranks_wait_for_rank_0_and_find_it_in_a_range_of_ports() {
    // The first port is somebody else's, who hangs up; rank 0 has to find the next one, and the others have to find rank 0.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let over = Arc::new(AtomicBool::new(false));
    let stranger = thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(Ordering::Relaxed) {
                drop(taken.accept());
            }
        }
    });
    let meeting = Meeting::new("127.0.0.1", first, 40);
    let mut there: Vec<Seat> = (0..3).map(|rank| Seat::for_test(rank, 3, meeting.clone(), &key())).collect();
    there.reverse();
    let met: Vec<Joined> = meet(there, &config(HANG)).into_iter().map(Result::unwrap).collect();
    check(met);
    over.store(true, Ordering::Relaxed);
    let _ = TcpStream::connect(("127.0.0.1", first));
    stranger.join().unwrap();
}

#[test]
fn ranks_meet_over_ipv6() {
    let Ok(probe) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        eprintln!("not run: this machine has no IPv6");
        return;
    };
    drop(probe);
    let (listener, meeting) = place(Ipv6Addr::LOCALHOST.into());
    let mut there: Vec<Seat> = (0..3).map(|rank| Seat::for_test(rank, 3, meeting.clone(), &key())).collect();
    there[0].listener = Some(listener);
    check(meet(there, &config(HANG)).into_iter().map(Result::unwrap).collect());
}

#[test]
fn a_program_may_meet_twice_at_one_listener() {
    let there = seats(2);
    let again = || {
        let mut again: Vec<Seat> = Vec::new();
        for seat in &there {
            let mut seat2 = Seat::for_test(seat.rank, seat.size, seat.meeting.clone().unwrap(), &key());
            seat2.listener = seat.listener.as_ref().map(|listener| listener.try_clone().unwrap());
            again.push(seat2);
        }
        meet(again, &config(HANG)).into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let (first, second) = (again(), again());
    assert_ne!(first[0].key.code(&[b"x"]), second[0].key.code(&[b"x"]));
    check(first);
    check(second);
}

#[test]
fn every_rank_that_waits_names_those_that_did_not_come() {
    let mut there = seats(5);
    there.remove(4);
    there.remove(2);
    for text in refusals(there, &config(WAIT)) {
        assert!(text.contains("ranks 2, 4"), "{text}");
    }
}

#[test]
fn without_rank_0_the_others_say_that_it_did_not_come() {
    let mut there = seats(3);
    there.remove(0);
    for text in refusals(there, &config(Duration::from_millis(300))) {
        assert!(text.contains("rank 0 did not come to 127.0.0.1:") && text.contains("refused"), "{text}");
    }
}

#[test]
fn two_processes_with_one_rank_are_told_so() {
    let mut there = seats(3);
    let meeting = there[0].meeting.clone().unwrap();
    there[2] = Seat::for_test(1, 3, meeting, &key());
    for text in refusals(there, &config(HANG)) {
        assert!(text.contains("rank 1 came twice"), "{text}");
    }
}

#[test]
fn two_processes_that_are_rank_0_are_told_so() {
    let mut there = seats(2);
    let meeting = there[0].meeting.clone().unwrap();
    there[1] = Seat::for_test(0, 2, meeting, &key());
    for text in refusals(there, &config(HANG)) {
        assert!(text.contains("rank 0") && text.contains("two processes have the same rank"), "{text}");
    }
}

#[test]
fn ranks_that_count_differently_are_told_so() {
    let mut there = seats(2);
    let meeting = there[0].meeting.clone().unwrap();
    there[1] = Seat::for_test(1, 3, meeting, &key());
    let [host, guest] = refusals(there, &config(HANG)).try_into().unwrap();
    assert!(host.contains("told that there are 3 ranks, and this process that there are 2"), "{host}");
    assert!(guest.contains("told that there are 2 ranks, and this process that there are 3"), "{guest}");
}

#[test]
fn another_job_does_not_disturb_and_is_told_so() {
    let mut there = seats(2);
    let meeting = there[0].meeting.clone().unwrap();
    there[1] = Seat::for_test(1, 2, meeting, &JobKey::new(b"a secret of sixteen bytes or more", "another job"));
    let [host, guest] = refusals(there, &config(WAIT)).try_into().unwrap();
    assert!(host.contains("1 knew the secret but were of another job") && host.contains("rank 1"), "{host}");
    assert!(guest.contains("of another job"), "{guest}");
}

#[test]
fn another_secret_is_suspected_on_both_sides() {
    let mut there = seats(2);
    let meeting = there[0].meeting.clone().unwrap();
    there[1] = Seat::for_test(1, 2, meeting, &JobKey::new(b"another secret of sixteen bytes", "job"));
    let [host, guest] = refusals(there, &config(WAIT)).try_into().unwrap();
    assert!(host.contains("gave a wrong proof (ranks with another PARHELION_SECRET_FILE do)"), "{host}");
    assert!(guest.contains("hung up on this rank's proof") && guest.contains("PARHELION_SECRET_FILE"), "{guest}");
}

/// Comes as a rank would, and returns the connection.
fn intrude(seat: &Seat, place: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let mut handshake = Handshake::dial(&seat.key, seat.rank, seat.size, 0);
    loop {
        stream.write_all(handshake.to_send()).unwrap();
        handshake.sent(usize::MAX);
        let mut bytes = vec![0; handshake.wanted()];
        stream.read_exact(&mut bytes).unwrap();
        if handshake.take(&bytes).unwrap().is_some() {
            return stream;
        }
    }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

#[test]
fn a_rank_that_leaves_while_others_wait_ends_the_meeting() {
    let mut there = seats(4);
    let at = address(there[0].listener.as_ref().unwrap());
    let leaves = there.remove(1);
    there.truncate(2);
    let leaver = thread::spawn(move || {
        let mut stream = intrude(&leaves, at);
        stream.write_all(&Message::Here(HANG, Member { tcp: at, unix: None }).encode()).unwrap();
        // Until the other one has come, too, and rank 3 alone is missing.
        loop {
            let mut head = [0; HEAD];
            stream.read_exact(&mut head).unwrap();
            let mut body = vec![0; Message::length(&head, 4).unwrap()];
            stream.read_exact(&mut body).unwrap();
            if Message::decode(&head, &body, 4) == Some(Message::Waiting(vec![3])) {
                break;
            }
        }
    });
    for text in refusals(there, &config(HANG)) {
        assert!(
            text.contains("rank 1 left while the ranks gathered") && text.contains("rank 3 had not come"),
            "{text}"
        );
    }
    leaver.join().unwrap();
}

#[test]
fn a_rank_that_speaks_nonsense_or_nothing_may_come_again() {
    let mut there = seats(2);
    let at = address(there[0].listener.as_ref().unwrap());
    let (guest, host) = (there.pop().unwrap(), there);
    let comes = thread::spawn(move || {
        for _ in 0..3 {
            intrude(&guest, at).write_all(&[0xff; 200]).unwrap();
            drop(intrude(&guest, at));
        }
        meet(vec![guest], &config(HANG)).pop().unwrap()
    });
    let mut met = meet(host, &config(HANG));
    met.push(comes.join().unwrap());
    check(met.into_iter().map(Result::unwrap).collect());
}

#[test]
fn a_rank_that_others_cannot_reach_is_named_before_they_try() {
    let Some(here) = HostId::here() else {
        eprintln!("not run: this system has no abstract names");
        return;
    };
    let mut there = seats(3);
    let at = address(there[0].listener.as_ref().unwrap());
    // Rank 2 comes from another host; rank 1 has come by the loopback.
    let mut member = Member { tcp: "10.1.2.3:4000".parse().unwrap(), unix: Some((here, UnixName::new())) }.encode();
    member[30] ^= 1;
    let elsewhere = Member::decode(&member).unwrap();
    let other = there.pop().unwrap();
    let other = thread::spawn(move || {
        let mut stream = intrude(&other, at);
        stream.write_all(&Message::Here(HANG, elsewhere).encode()).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    });
    for text in refusals(there, &config(HANG)) {
        assert!(text.contains("rank 1 can be reached at 127.0.0.1") && text.contains("PARHELION_BIND"), "{text}");
    }
    other.join().unwrap();
}

#[test]
fn the_shortest_heartbeat_is_that_of_all() {
    let apart = seats(3).into_iter().enumerate().map(|(rank, seat)| {
        let heartbeat = Duration::from_millis([2500, 1500, 30_000][rank]);
        thread::spawn(move || meet(vec![seat], &Config { heartbeat, ..config(HANG) }))
    });
    for rank in apart.collect::<Vec<_>>() {
        let joined = rank.join().unwrap().remove(0).unwrap();
        assert_eq!(joined.heartbeat, Duration::from_millis(1500));
    }
}

#[test]
fn strangers_in_thousands_do_not_keep_ranks_from_meeting() {
    const CROWD: usize = 3000;
    let mut there = seats(7);
    let at = address(there[0].listener.as_ref().unwrap());
    let hello = Handshake::dial(&JobKey::new(b"what a stranger may think of", ""), 1, 7, 0).to_send().to_vec();
    let came = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = (0..4)
        .map(|kind| {
            let (came, over, hello) = (came.clone(), over.clone(), hello.clone());
            thread::spawn(move || {
                let mut held = std::collections::VecDeque::new();
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect_timeout(&at, Duration::from_secs(1)) else { continue };
                    let _ = match kind {
                        // Says nothing, half of it, all of it and no proof, or something else.
                        0 => Ok(()),
                        1 => stream.write_all(&hello[..40]),
                        2 => stream.write_all(&hello).and_then(|()| stream.write_all(&[1; 32])),
                        _ => stream.write_all(b"GET / HTTP/1.1\r\n\r\n"),
                    };
                    came.fetch_add(1, Ordering::Relaxed);
                    held.push_back(stream);
                    if held.len() > 150 {
                        held.pop_front();
                    }
                }
            })
        })
        .collect();
    let last = there.pop().unwrap();
    let late = thread::spawn({
        let came = came.clone();
        move || {
            let end = Instant::now() + HANG / 2;
            while came.load(Ordering::Relaxed) < CROWD && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            (came.load(Ordering::Relaxed), meet(vec![last], &config(HANG)).pop().unwrap())
        }
    });
    let mut met = meet(there, &config(HANG));
    let (came, late) = late.join().unwrap();
    over.store(true, Ordering::Relaxed);
    crowd.into_iter().for_each(|stranger| stranger.join().unwrap());
    met.push(late);
    check(met.into_iter().map(Result::unwrap).collect());
    assert!(came >= CROWD, "only {came} strangers came");
}

#[test]
fn a_rank_whose_unix_socket_is_out_of_reach_is_reached_by_tcp() {
    let Some(here) = HostId::here() else {
        eprintln!("not run: this system has no abstract names");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let member = Member { tcp: address(&listener), unix: Some((here, UnixName::new())) };
    let stream = Stream::start(&member, Some(&here)).unwrap();
    assert!(matches!(stream, Stream::Tcp(_)));
    listener.accept().unwrap();
}

#[test]
fn silent_visitors_in_every_place_make_room_for_a_rank() {
    let there = seats(2);
    let at = address(there[0].listener.as_ref().unwrap());
    // They are first in the queue, and stay.
    let _silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(at).unwrap()).collect();
    // Less than a silent visitor may stay if nobody else comes.
    check(meet(there, &config(Duration::from_secs(9))).into_iter().map(Result::unwrap).collect());
}
