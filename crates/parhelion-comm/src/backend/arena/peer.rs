//! [`Identity`]: what a process tells its peers so that they find its arena; [`PeerArena`]: the arena of a peer, mapped here.
//!
//! A peer is looked for only where process numbers mean the same: the same boot of the same machine, the same process
//! namespace. What is found there under the number of its file must be a memory file of ours with the random number that
//! the peer said, or it is not used: no error, there is just no way to read it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags};

use super::file::{File, Mapping};
use super::{Arena, HEADER, NAME};

/// Where to find the arena of a process, and how to tell that it is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The boot of the machine, and the namespace of process numbers in it.
    place: [u64; 3],
    pid: u64,
    /// The file's number in that process, and its length.
    file: u64,
    len: u64,
    nonce: [u64; 2],
}

/// Words of an [`Identity`] in a message.
pub(crate) const IDENTITY_WORDS: usize = 8;

impl Identity {
    /// The number of its process.
    pub(crate) fn pid(&self) -> u64 {
        self.pid
    }

    /// In a message.
    pub(crate) fn to_words(self) -> [u64; IDENTITY_WORDS] {
        let Identity { place: [a, b, c], pid, file, len, nonce: [m, n] } = self;
        [a, b, c, pid, file, len, m, n]
    }

    /// Out of a message.
    pub(crate) fn of_words([a, b, c, pid, file, len, m, n]: [u64; IDENTITY_WORDS]) -> Self {
        Identity { place: [a, b, c], pid, file, len, nonce: [m, n] }
    }
}

impl Arena {
    /// What peers need to find it; none where this process cannot know where it is.
    pub(crate) fn identity(&self) -> Option<Identity> {
        Some(Identity {
            place: here()?,
            pid: u64::from(self.pid),
            file: self.file.number().try_into().ok()?,
            len: self.file.mapping.len() as u64,
            nonce: self.nonce,
        })
    }
}

/// The boot of this machine, and the namespace of process numbers that this process is in.
fn here() -> Option<[u64; 3]> {
    static HERE: OnceLock<Option<[u64; 3]>> = OnceLock::new();
    *HERE.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
        let boot = u128::from_str_radix(&digits, 16).ok()?;
        let namespace = rustix::fs::stat("/proc/self/ns/pid").ok()?.st_ino;
        Some([(boot >> 64) as u64, boot as u64, namespace])
    })
}

/// The arena of another process, or of this one, in this process's memory.
pub(crate) struct PeerArena(Map);

enum Map {
    Own(Arc<Arena>),
    Theirs(Mapping),
}

impl PeerArena {
    /// The arena that `identity` says, mapped once for all who ask; none if it cannot be read from here.
    pub(crate) fn find(identity: &Identity) -> Option<Arc<PeerArena>> {
        static FOUND: OnceLock<Mutex<HashMap<[u64; 2], Arc<PeerArena>>>> = OnceLock::new();
        let own = Arena::of_process()?;
        let mut found = FOUND.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.get(&identity.nonce) {
            return Some(known.clone());
        }
        let map = if own.nonce == identity.nonce { Map::Own(own.clone()) } else { Map::Theirs(open(identity)?) };
        let arena = Arc::new(PeerArena(map));
        found.insert(identity.nonce, arena.clone());
        Some(arena)
    }

    fn mapping(&self) -> &Mapping {
        match &self.0 {
            Map::Own(arena) => &arena.file.mapping,
            Map::Theirs(mapping) => mapping,
        }
    }

    /// Where the block with this token is here, if it and as many bytes can be in the arena.
    #[inline]
    pub(crate) fn resolve(&self, token: u64, bytes: usize) -> Option<*mut u8> {
        let mapping = self.mapping();
        let at = usize::try_from(token).ok()?;
        let inside = at >= HEADER && at <= mapping.len() && bytes <= mapping.len() - at;
        inside.then(|| mapping.base().as_ptr().wrapping_add(at))
    }
}

fn open(identity: &Identity) -> Option<Mapping> {
    if identity.place != here()? {
        return None;
    }
    let path = format!("/proc/{}/fd/{}", identity.pid, identity.file);
    // Looked at before it is opened: opening somebody else's terminal or pipe could do something.
    let target = rustix::fs::readlink(&path, Vec::new()).ok()?;
    if !target.to_bytes().starts_with(format!("/memfd:{NAME}").as_bytes()) {
        return None;
    }
    let fd: OwnedFd = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).ok()?;
    let mapping = File::map_of_peer(&fd, usize::try_from(identity.len).ok()?)?;
    (mapping.nonce() == identity.nonce).then_some(mapping)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::backend::block::Block;

    const CHILD: &str = "PARHELION_TEST_ARENA";

    /// The other process of the test below: it is started again, for this one test, with the identity in its environment.
    fn child(words: &str) {
        let words: Vec<u64> = words.split(' ').map(|word| word.parse().unwrap()).collect();
        let (identity, token) = words.split_at(IDENTITY_WORDS);
        let identity = Identity::of_words(identity.try_into().unwrap());
        let arena = PeerArena::find(&identity).expect("the parent's arena");
        let bytes = arena.resolve(token[0], 100_000).expect("the parent's block");
        // SAFETY: mapped, and the parent waits meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts_mut(bytes, 100_000) };
        assert!(bytes.iter().enumerate().all(|(i, b)| *b == i as u8), "what the parent wrote");
        bytes.fill(0x5a);
        // The same again is the same mapping; what is not as said is nothing.
        assert!(Arc::ptr_eq(&arena, &PeerArena::find(&identity).unwrap()));
        let wrong = [
            Identity { nonce: [identity.nonce[0], !identity.nonce[1]], ..identity },
            Identity { nonce: [1, 1], pid: u64::from(u32::MAX), ..identity },
            Identity { nonce: [1, 2], pid: u64::from(std::process::id()), file: 0, ..identity },
            Identity { nonce: [1, 3], file: identity.file + 1000, ..identity },
            Identity { nonce: [1, 4], len: 0, ..identity },
            Identity { nonce: [1, 5], ..identity },
        ];
        for identity in wrong {
            assert!(PeerArena::find(&identity).is_none(), "{identity:?}");
        }
        // The right file, but of another namespace, another boot, or said to be longer than it is.
        let [a, b, c] = identity.place;
        for place in [[a, b, c + 1], [a, b ^ 1, c], [a ^ 1, b, c]] {
            assert!(open(&Identity { place, ..identity }).is_none(), "{place:?}");
        }
        assert!(open(&Identity { len: identity.len + 4096, ..identity }).is_none());
        assert!(open(&identity).is_some());
    }

    #[test]
    fn another_process_finds_reads_and_writes_a_block() {
        if let Ok(words) = std::env::var(CHILD) {
            return child(&words);
        }
        let block = Block::shared(100_000, 64);
        // SAFETY: the block is this test's, and the child is over when it is read again.
        let bytes = || unsafe { std::slice::from_raw_parts_mut(block.ptr().as_ptr(), 100_000) };
        bytes().iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
        let identity = Arena::of_process().unwrap().identity().unwrap();
        let words: Vec<String> =
            identity.to_words().iter().chain(&block.token()).map(|word| word.to_string()).collect();
        let name = "backend::arena::peer::tests::another_process_finds_reads_and_writes_a_block";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, words.join(" "))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the child ran no test");
        assert!(bytes().iter().all(|b| *b == 0x5a), "what the child wrote");
    }

    #[test]
    fn tokens_out_of_bounds_are_refused() {
        let own = Arena::of_process().unwrap();
        let arena = PeerArena::find(&own.identity().unwrap()).unwrap();
        let len = own.file.mapping.len();
        let block = Block::shared(5000, 64);
        let token = block.token().unwrap();
        assert_eq!(arena.resolve(token, 5000).map(<*mut u8>::cast_const), Some(block.ptr().as_ptr().cast_const()));
        assert!(arena.resolve(len as u64 - 8, 8).is_some());
        for (token, bytes) in
            [(len as u64 - 8, 9), (len as u64, 1), (u64::MAX, 1), (token, len), (token, usize::MAX), (0, 8), (4095, 1)]
        {
            assert!(arena.resolve(token, bytes).is_none(), "{token} {bytes}");
        }
    }

    #[test]
    fn words_of_an_identity_are_read_back() {
        let identity = Arena::of_process().unwrap().identity().unwrap();
        assert_eq!(Identity::of_words(identity.to_words()), identity);
    }
}
