//! The ways to wait for a rank, each of which must tell when it is lost.

use parhelion_comm::{Any, Communicator, Error, Op, wait_any};

pub(crate) type Wait = fn(&Communicator, usize) -> Result<(), Error>;

/// Every way to wait for a rank by its number.
pub(crate) const WAITS: [(&str, Wait); 22] = [
    ("recv", |c, peer| c.recv(&mut [0u8; 4], peer, 1).map(drop)),
    ("recv of any tag", |c, peer| c.recv(&mut [0u8; 4], peer, Any).map(drop)),
    ("recv_vec", |c, peer| c.recv_vec::<u8>(peer, 1).map(drop)),
    ("probe", |c, peer| c.probe(peer, 1).map(drop)),
    ("probe_message", |c, peer| c.probe_message(peer, Any).map(drop)),
    ("irecv", |c, peer| c.irecv(vec![0u8; 4], peer, 1)?.wait().map(drop)),
    ("a scope's receive", |c, peer| {
        let mut buffer = [0u8; 4];
        c.scope(|s| s.recv(&mut buffer, peer, 1).map(drop))
    }),
    ("a rendezvous send", |c, peer| c.send(&vec![1u8; 1 << 20], peer, 1)),
    ("a small synchronous send", |c, peer| c.send_synchronous(&[1u8; 4], peer, 1)),
    ("a rendezvous isend", |c, peer| c.isend(vec![1u8; 1 << 20], peer, 1)?.wait().map(drop)),
    ("send_recv", |c, peer| c.send_recv(&[1u8; 4], peer, 1, &mut [0u8; 4], peer, 1).map(drop)),
    ("barrier", |c, _| c.barrier()),
    ("all_reduce", |c, _| c.all_reduce(&[1.0f64; 1000], Op::Sum).map(drop)),
    ("broadcast from the lost rank", |c, peer| c.broadcast(&mut [0u8; 4], peer)),
    ("iall_gather", |c, _| c.iall_gather(vec![1u8; 4])?.wait().map(drop)),
    ("ibarrier", |c, _| c.ibarrier()?.wait()),
    ("dup", |c, _| c.dup().map(drop)),
    ("signals", |c, peer| c.signals(&[peer], 1).map(drop)),
    ("wait_any", |c, peer| wait_any(&mut vec![c.irecv(vec![0u8], peer, 1)?, c.irecv(vec![0u8], peer, 2)?]).map(drop)),
    ("a loop of try_probe", |c, peer| {
        while c.try_probe(peer, 1)?.is_none() {
            std::thread::yield_now();
        }
        Ok(())
    }),
    ("a loop of try_probe_message", |c, peer| {
        while c.try_probe_message(peer, Any)?.is_none() {
            std::thread::yield_now();
        }
        Ok(())
    }),
    ("a test loop", |c, peer| {
        let mut request = c.irecv(vec![0u8], peer, 1)?;
        while !request.test() {
            std::thread::yield_now();
        }
        request.wait().map(drop)
    }),
];
