//! What can be done at a rank's door without knowing the secret.

use std::io::{self, Read, Write};

use crate::doors::{Door, Knock};

/// Bytes of a greeting of the handshake, and of a proof (see `docs/tcp.md`).
pub(crate) const GREETING: usize = 76;
const PROOF: usize = 32;

/// What a stranger does once it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    HangsUp,
    SaysNothing,
    Garbage,
    HalfAHello,
    /// What looks like a hello of a rank of this job, and then a proof that is none.
    WrongProof,
    /// The same by repeating what the rank has said before.
    Reflects,
    /// A hello, and no proof.
    WaitsWithItsProof,
}

pub(crate) const MANNERS: [Manner; 7] = [
    Manner::HangsUp,
    Manner::SaysNothing,
    Manner::Garbage,
    Manner::HalfAHello,
    Manner::WrongProof,
    Manner::Reflects,
    Manner::WaitsWithItsProof,
];

/// What came of a visit.
pub(crate) struct Visit {
    /// Whether the rank has answered a hello with its challenge.
    pub(crate) was_greeted: bool,
    /// The connection, of one that stays.
    pub(crate) stays: Option<Knock>,
}

fn say(knock: &mut Knock, bytes: &[u8]) -> io::Result<()> {
    match knock {
        Knock::Tcp(stream) => stream.write_all(bytes),
        Knock::Unix(stream) => stream.write_all(bytes),
    }
}

/// At most `most` bytes: fewer if the rank hangs up or says no more.
fn hear(knock: &mut Knock, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An error is an end, too.
    let _ = match knock {
        Knock::Tcp(stream) => stream.take(most as u64).read_to_end(&mut bytes),
        Knock::Unix(stream) => stream.take(most as u64).read_to_end(&mut bytes),
    };
    bytes
}

impl Manner {
    /// Visits `door` of a rank of `size`. `heard` is a challenge that a rank has sent to somebody before, if any has, and becomes the last.
    ///
    /// # Panics
    /// If the rank tells a stranger more than its challenge.
    pub(crate) fn visit(self, door: &Door, size: u32, heard: &mut Option<[u8; GREETING]>) -> io::Result<Visit> {
        let mut knock = door.knock()?;
        let mut visit = Visit { was_greeted: false, stays: None };
        match self {
            Manner::HangsUp => return Ok(visit),
            Manner::SaysNothing => {}
            Manner::Garbage => say(&mut knock, &[0xa5; 4096])?,
            Manner::HalfAHello => say(&mut knock, &hello(size, heard)[..GREETING / 2])?,
            Manner::WrongProof | Manner::Reflects | Manner::WaitsWithItsProof => {
                say(&mut knock, &hello(size, heard))?;
                let challenge = hear(&mut knock, GREETING);
                visit.was_greeted = challenge.len() == GREETING;
                let Ok(challenge) = <[u8; GREETING]>::try_from(challenge) else { return Ok(visit) };
                let proof: &[u8] = if self == Manner::Reflects { &challenge[GREETING - PROOF..] } else { &[7; PROOF] };
                *heard = Some(challenge);
                if self != Manner::WaitsWithItsProof {
                    say(&mut knock, proof)?;
                    let more = hear(&mut knock, 1);
                    assert!(more.is_empty(), "a stranger with a wrong proof at {door:?} was answered");
                    return Ok(visit);
                }
            }
        }
        visit.stays = Some(knock);
        Ok(visit)
    }
}

/// A hello as rank 1 of `size` says it, with the name of the job that a rank has told.
fn hello(size: u32, heard: &Option<[u8; GREETING]>) -> [u8; GREETING] {
    let mut bytes = [0x5a; GREETING];
    bytes[..8].copy_from_slice(b"PARHELIO");
    // Version, role (1: hello), ranks, from, to.
    let words = [1, 1, size, 1, 0].map(u32::to_le_bytes);
    bytes[8..28].copy_from_slice(words.as_flattened());
    if let Some(heard) = heard {
        bytes[28..].copy_from_slice(&heard[28..]);
    }
    bytes
}
