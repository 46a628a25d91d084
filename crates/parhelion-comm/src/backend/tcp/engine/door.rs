//! The doors, where other ranks knock, and strangers.
//!
//! 1. At most [`VISITORS`] are inside who have not proved what they are. When there are so many, or no descriptor is left for
//!    another, the oldest goes, but nobody before [`GRACE`]: a rank gets the time to prove itself, whoever comes behind it.
//! 2. While nobody may be sent away, the doors are shut: whoever knocks waits in the system's queue, and readiness of the doors
//!    wakes nobody.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::connect::PATIENCE;
use super::link::{Phase, Wire};
use super::state::State;
use crate::backend::tcp::join::{Handshake, Stream, is_shortage};

/// Strangers inside at one time.
const VISITORS: usize = 256;
/// How long each of them may stay, however many come behind it.
const GRACE: Duration = Duration::from_millis(200);
/// How long the doors are shut when there is nobody to send away.
const PAUSE: Duration = Duration::from_millis(50);
/// How many are let in before the peers have their turn again.
const AT_ONCE: usize = 64;

/// The doors' tokens.
pub(super) const DOOR_TCP: u64 = 0;
pub(super) const DOOR_UNIX: u64 = 1;

impl State {
    /// Lets in whoever knocks.
    pub(super) fn open_door(&mut self, token: u64) {
        for _ in 0..AT_ONCE {
            if self.shut_until.is_some() || self.visitors.len() >= VISITORS && !self.send_one_away() {
                return;
            }
            let Some(doors) = &self.doors else { return };
            let accepted = match (token, &doors.unix) {
                (DOOR_TCP, _) => doors.tcp.accept().and_then(|(stream, _)| Stream::tcp(stream)),
                (_, Some(unix)) => unix.accept().map(|(stream, _)| Stream::unix(stream)),
                (_, None) => return,
            };
            match accepted.and_then(|stream| stream.set_nonblocking(true).map(|()| stream)) {
                Ok(stream) => self.let_in(stream),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if is_shortage(&e) => {
                    if !self.send_one_away() {
                        return;
                    }
                }
                // Whoever knocked has gone.
                Err(_) => {}
            }
        }
    }

    fn let_in(&mut self, stream: Stream) {
        let handshake = Handshake::answer(&self.key, self.me, self.size);
        let phase = Phase::Visitor { handshake, until: Instant::now() + PATIENCE };
        if let Ok(token) = self.add_wire(Wire { stream, phase, wants_room: false }, EventFlags::IN) {
            self.visitors.push_back(token);
            self.hurry();
        }
    }

    /// Sends the oldest visitor away; if that may not be yet, shuts the doors until it may.
    fn send_one_away(&mut self) -> bool {
        let now = Instant::now();
        let oldest = self.visitors.front().and_then(|token| self.wires.get(token));
        let may_go = match oldest.map(|wire| &wire.phase) {
            Some(Phase::Visitor { until, .. }) => *until - (PATIENCE - GRACE),
            _ => now + PAUSE,
        };
        if may_go > now {
            self.shut_until = Some(may_go);
            self.watch_doors(EventFlags::empty());
            self.hurry();
            return false;
        }
        let oldest = self.visitors.pop_front();
        oldest.and_then(|token| self.wires.remove(&token)).is_some()
    }

    /// Opens the doors again when it is time.
    pub(super) fn reopen_doors(&mut self, now: Instant) {
        if self.shut_until.is_some_and(|until| until <= now) {
            self.shut_until = None;
            self.watch_doors(EventFlags::IN);
        }
    }

    fn watch_doors(&self, flags: EventFlags) {
        let Some(doors) = &self.doors else { return };
        // Neither can fail: both are watched already.
        let _ = epoll::modify(&*self.epoll, &doors.tcp, EventData::new_u64(DOOR_TCP), flags);
        if let Some(unix) = &doors.unix {
            let _ = epoll::modify(&*self.epoll, unix, EventData::new_u64(DOOR_UNIX), flags);
        }
    }
}
