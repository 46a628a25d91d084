//! [`Handshake`]: two processes prove to each other that they are ranks of one job, before anything else is said.
//!
//! ```text
//! dialler                                  answerer
//!   hello       what I am, a nonce   →
//!               ←   challenge              what I am, a nonce
//!   proof       a code of both       →     wrong: hangs up, without a word
//!               ←   answer                 a code of both and the proof
//! ```
//!
//! 1. Both greetings have one fixed form, and the proofs are codes (HMAC-SHA256) of both greetings, whole, under the job's key:
//!    whatever is changed on the way makes the proofs wrong. Each nonce is fresh, so no proof is good a second time; each role
//!    has its own label, so no proof is good in the other direction.
//! 2. Whoever does not know the key learns nothing but the challenge, which has nothing to do with the key.
//! 3. The form of the handshake never changes: the version in it is that of what follows. So ranks of different versions, sizes
//!    or jobs prove themselves first, then both see from the greetings why they do not fit. What is refused before the proof
//!    is a stranger, of whom nothing is believed.
//!
//! Nothing here reads or writes: who drives it moves the bytes, blocking or not.

use std::fmt;

use super::key::JobKey;

/// The version of what follows the handshake.
const VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"PARHELIO";
/// Bytes of a greeting.
const GREETING: usize = 76;
/// Bytes of a proof.
const PROOF: usize = 32;

/// One end of the handshake of one connection.
pub(crate) struct Handshake {
    key: JobKey,
    /// This end's greeting; the answerer's is complete once it knows whom it greets.
    mine: Greeting,
    hello: [u8; GREETING],
    challenge: [u8; GREETING],
    proof: [u8; PROOF],
    step: Step,
    /// What came of the message that is awaited.
    input: Vec<u8>,
    /// What is to be written, from `written` on.
    output: Vec<u8>,
    written: usize,
}

/// Which message is awaited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Hello,
    Challenge,
    Proof,
    Answer,
    Over,
}

/// Why a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What came is no greeting of ours.
    Garbage,
    /// The other end does not know the key.
    WrongProof,
    /// The other end is of the same user, in another job.
    Job,
    /// The other end is a rank of this job and speaks another version.
    Version { ours: u32, theirs: u32 },
    /// The other end is a rank of this job and counts the ranks differently.
    Size { ours: usize, theirs: usize },
    /// The other end is a rank of this job, but not the one that was called, or no rank that can be.
    Rank { wanted: usize, found: usize },
}

impl Refusal {
    /// Whether the other end has not proved that it knows the key.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_of_stranger(&self) -> bool {
        matches!(self, Refusal::Garbage | Refusal::WrongProof)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Garbage => f.write_str("it does not speak this protocol"),
            Refusal::WrongProof => f.write_str("its proof is wrong: it has another secret"),
            Refusal::Job => f.write_str("it knows the secret, but is of another job"),
            Refusal::Version { ours, theirs } => {
                write!(
                    f,
                    "it speaks version {theirs} of the protocol and this process version {ours}; use one build for all"
                )
            }
            Refusal::Size { ours, theirs } => {
                write!(f, "it was told that there are {theirs} ranks, and this process that there are {ours}")
            }
            Refusal::Rank { wanted, found } if wanted == found => {
                write!(f, "it is rank {found}, as this process is: two processes have the same rank")
            }
            Refusal::Rank { wanted, found } => write!(f, "it is rank {found}, where rank {wanted} was expected"),
        }
    }
}

impl Handshake {
    /// The end that opened the connection, to reach rank `peer`.
    pub(crate) fn dial(key: &JobKey, me: usize, size: usize, peer: usize) -> Self {
        let mine = Greeting::new(Role::Hello, key, me, size, peer);
        let mut handshake = Self::new(key, mine, Step::Challenge);
        handshake.hello = handshake.mine.encode();
        handshake.output = handshake.hello.to_vec();
        handshake
    }

    /// The end that accepted the connection.
    pub(crate) fn answer(key: &JobKey, me: usize, size: usize) -> Self {
        Self::new(key, Greeting::new(Role::Challenge, key, me, size, 0), Step::Hello)
    }

    fn new(key: &JobKey, mine: Greeting, step: Step) -> Self {
        Handshake {
            key: key.clone(),
            mine,
            hello: [0; GREETING],
            challenge: [0; GREETING],
            proof: [0; PROOF],
            step,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
        }
    }

    /// What is to be written now. Also after the end, good or bad: the other side waits for it.
    pub(crate) fn to_send(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// `n` bytes of [`Self::to_send`] have been written; of more, all.
    pub(crate) fn sent(&mut self, n: usize) {
        self.written = self.written.saturating_add(n).min(self.output.len());
    }

    /// How many bytes to read; what comes after them is not the handshake's. None once it is over.
    pub(crate) fn wanted(&self) -> usize {
        let length = match self.step {
            Step::Hello | Step::Challenge => GREETING,
            Step::Proof | Step::Answer => PROOF,
            Step::Over => 0,
        };
        length - self.input.len()
    }

    /// Takes what was read, at most [`Self::wanted`] bytes. The rank at the other end, once it has proved what it is; then what
    /// is left of [`Self::to_send`] is due before anything else is written.
    ///
    /// # Errors
    /// Why there will be no connection. What is left of [`Self::to_send`] lets the other end see why, too.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        assert!(bytes.len() <= self.wanted(), "bytes that are not the handshake's");
        self.input.extend_from_slice(bytes);
        if self.wanted() > 0 || self.step == Step::Over {
            return Ok(None);
        }
        let message = std::mem::take(&mut self.input);
        let step = std::mem::replace(&mut self.step, Step::Over);
        match step {
            Step::Hello => {
                let theirs = Greeting::decode(&message, Role::Hello).ok_or(Refusal::Garbage)?;
                self.hello.copy_from_slice(&message);
                self.mine.to = theirs.from;
                self.challenge = self.mine.encode();
                self.say(self.challenge.to_vec(), Step::Proof);
                Ok(None)
            }
            Step::Challenge => {
                Greeting::decode(&message, Role::Challenge).ok_or(Refusal::Garbage)?;
                self.challenge.copy_from_slice(&message);
                self.proof = self.key.code(&self.proof_parts());
                self.say(self.proof.to_vec(), Step::Answer);
                Ok(None)
            }
            Step::Proof => {
                if !self.key.is_code(&self.proof_parts(), &message) {
                    return Err(Refusal::WrongProof);
                }
                self.proof.copy_from_slice(&message);
                self.say(self.key.code(&self.answer_parts()).to_vec(), Step::Over);
                let theirs = Greeting::decode(&self.hello, Role::Hello).expect("decoded before");
                self.mine.fits(&theirs, theirs.from, self.mine.from).map(Some)
            }
            Step::Answer => {
                if !self.key.is_code(&self.answer_parts(), &message) {
                    return Err(Refusal::WrongProof);
                }
                let theirs = Greeting::decode(&self.challenge, Role::Challenge).expect("decoded before");
                self.mine.fits(&theirs, self.mine.from, theirs.from).map(Some)
            }
            Step::Over => Ok(None),
        }
    }

    fn say(&mut self, message: Vec<u8>, next: Step) {
        self.output = message;
        self.written = 0;
        self.step = next;
    }

    fn proof_parts(&self) -> [&[u8]; 3] {
        [b"parhelion tcp: dialler", &self.hello, &self.challenge]
    }

    fn answer_parts(&self) -> [&[u8]; 4] {
        [b"parhelion tcp: answerer", &self.hello, &self.challenge, &self.proof]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Hello = 1,
    Challenge = 2,
}

/// What either end says of itself.
struct Greeting {
    role: Role,
    version: u32,
    size: u32,
    from: u32,
    to: u32,
    job: [u8; 16],
    nonce: [u8; 32],
}

impl Greeting {
    fn new(role: Role, key: &JobKey, from: usize, size: usize, to: usize) -> Self {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).expect("the system has random numbers");
        let [size, from, to] = [size, from, to].map(|n| u32::try_from(n).expect("ranks are numbered in 32 bits"));
        Greeting { role, version: VERSION, size, from, to, job: *key.job(), nonce }
    }

    fn encode(&self) -> [u8; GREETING] {
        let mut bytes = [0; GREETING];
        let words = [self.version, self.role as u32, self.size, self.from, self.to].map(u32::to_le_bytes);
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..28].copy_from_slice(words.as_flattened());
        bytes[28..44].copy_from_slice(&self.job);
        bytes[44..].copy_from_slice(&self.nonce);
        bytes
    }

    fn decode(bytes: &[u8], role: Role) -> Option<Self> {
        let bytes: &[u8; GREETING] = bytes.try_into().ok()?;
        let word = |i: usize| u32::from_le_bytes(bytes[8 + 4 * i..][..4].try_into().expect("4 bytes"));
        if bytes[..8] != MAGIC || word(1) != role as u32 {
            return None;
        }
        Some(Greeting {
            role,
            version: word(0),
            size: word(2),
            from: word(3),
            to: word(4),
            job: bytes[28..44].try_into().expect("16 bytes"),
            nonce: bytes[44..].try_into().expect("32 bytes"),
        })
    }

    /// The rank at the other end, if both are of one job. Both ends come to the same verdict.
    fn fits(&self, theirs: &Self, dialler: u32, answerer: u32) -> Result<usize, Refusal> {
        if self.version != theirs.version {
            return Err(Refusal::Version { ours: self.version, theirs: theirs.version });
        }
        if self.job != theirs.job {
            return Err(Refusal::Job);
        }
        if self.size != theirs.size {
            return Err(Refusal::Size { ours: self.size as usize, theirs: theirs.size as usize });
        }
        // The dialler's `to` is the rank it called.
        let called = if self.role == Role::Hello { self.to } else { theirs.to };
        if called != answerer {
            return Err(Refusal::Rank { wanted: called as usize, found: answerer as usize });
        }
        if dialler == answerer || dialler >= self.size || answerer >= self.size {
            return Err(Refusal::Rank { wanted: called as usize, found: dialler as usize });
        }
        Ok(theirs.from as usize)
    }
}

#[cfg(test)]
mod tests;
