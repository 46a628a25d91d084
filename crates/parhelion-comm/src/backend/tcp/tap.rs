//! [`Tap`]: a stranger between two ranks, who hears every byte of theirs and can say it again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Bytes of a hello or a challenge, and of a proof or an answer (`docs/tcp.md`).
pub(super) const GREETING: usize = 76;
pub(super) const PROOF: usize = 32;

/// Beyond this a rank hangs.
const HANG: Duration = Duration::from_secs(60);

/// Carries the bytes of one connection, and keeps them.
pub(super) struct Tap {
    /// Where the one end believes the other to be.
    pub(super) at: SocketAddr,
    heard: [Arc<Mutex<Vec<u8>>>; 2],
}

impl Tap {
    /// Between whoever connects to it first and `there`.
    pub(super) fn before(there: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Tap { at: listener.local_addr().unwrap(), heard: Default::default() };
        let [up, down] = tap.heard.clone();
        thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect(there).unwrap();
            let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || carry(from, to, &up));
            carry(far, near, &down);
        });
        tap
    }

    /// What the end that connected has said until now, or the other one.
    pub(super) fn heard(&self, of_dialler: bool) -> Vec<u8> {
        self.heard[usize::from(!of_dialler)].lock().unwrap().clone()
    }

    /// Says at another `door` all that the dialler has said: what comes back after a challenge. Each time there is one.
    pub(super) fn replay(&self, door: SocketAddr) -> Vec<u8> {
        let said = self.heard(true);
        assert!(said.len() > GREETING + PROOF, "the dialler has proved itself and gone on");
        let mut stream = TcpStream::connect(door).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        stream.write_all(&said[..GREETING]).unwrap();
        let mut challenge = [0; GREETING];
        stream.read_exact(&mut challenge).unwrap();
        assert_ne!(challenge, self.heard(false)[..GREETING], "a challenge is good once");
        // It may be hung up on before all is said.
        let _ = stream.write_all(&said[GREETING..]);
        let mut more = Vec::new();
        match stream.read_to_end(&mut more) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("a stranger is not sent away"),
            _ => more,
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, heard: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        heard.lock().unwrap().extend(&bytes[..n]);
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    // The other end may have gone.
    let _ = to.shutdown(Shutdown::Write);
}
