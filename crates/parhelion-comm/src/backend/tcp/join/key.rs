//! [`JobKey`]: what the ranks of one job know, and nobody else.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The key of a job, and its name. Ranks that have one key but another name are the same user's, in another job.
#[derive(Clone)]
pub(crate) struct JobKey {
    key: [u8; 32],
    job: [u8; 16],
}

impl JobKey {
    /// From the secret that the ranks share, of any length, and the job's name.
    pub(crate) fn new(secret: &[u8], job: &str) -> Self {
        let name = Sha256::digest(job.as_bytes());
        JobKey { key: keyed(secret, &[b"parhelion tcp: key of a job"]), job: name[..16].try_into().expect("16 of 32") }
    }

    /// The key of one meeting of the ranks: a process that missed it, or was at another one, does not have it.
    pub(crate) fn session(&self, nonce: &[u8; 32]) -> Self {
        JobKey { key: keyed(&self.key, &[b"parhelion tcp: key of a session", nonce]), job: self.job }
    }

    /// The job's name, digested.
    pub(super) fn job(&self) -> &[u8; 16] {
        &self.job
    }

    /// The code of `parts`, which are of fixed length but for the first, a label that is no label's beginning.
    pub(super) fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.key, parts)
    }

    /// Whether `code` is the code of `parts`. Takes as long either way.
    pub(super) fn is_code(&self, parts: &[&[u8]], code: &[u8]) -> bool {
        mac(&self.key, parts).verify_slice(code).is_ok()
    }
}

impl fmt::Debug for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobKey")
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac(key, parts).finalize().into_bytes().into()
}
