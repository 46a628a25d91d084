//! The file with what the ranks share.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A shorter secret could be guessed.
const LEAST: u64 = 16;
/// A longer one is no secret but some file.
const MOST: u64 = 64 << 10;

/// How to make one, for whoever has none.
pub(super) const ADVICE: &str = "make one with '(umask 077; head -c 32 /dev/urandom > FILE)' and give all ranks the same PARHELION_SECRET_FILE=FILE";

/// The secret in the file `path`.
///
/// # Errors
/// It cannot be read, others could read it, or it is no secret; in words, without the path.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    // Not to wait for whoever writes to a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| format!("{e}; {ADVICE}"))?;
    let file = File::from(file);
    let about = file.metadata().map_err(|e| e.to_string())?;
    let us = rustix::process::geteuid().as_raw();
    if !about.is_file() {
        return Err(format!("it is no regular file; {ADVICE}"));
    }
    if about.uid() != us {
        return Err(format!(
            "it belongs to user {}, and this process to user {us}; the owner must be the same",
            about.uid()
        ));
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o777;
        return Err(format!(
            "its mode is {mode:03o}: others may use it; 'chmod 600' keeps them out (and make a new secret)"
        ));
    }
    if !(LEAST..=MOST).contains(&about.len()) {
        return Err(format!("it has {} bytes, and a secret has {LEAST} to {MOST}; {ADVICE}", about.len()));
    }
    let mut secret = Vec::new();
    file.take(MOST).read_to_end(&mut secret).map_err(|e| e.to_string())?;
    if (secret.len() as u64) < LEAST {
        return Err(format!("it became shorter while it was read; {ADVICE}"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A file of this test's own, gone afterwards.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, bytes: &[u8], mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("parhelion-secret-{}-{name}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_private_file_is_a_secret() {
        for mode in [0o600, 0o400] {
            let file = Scratch::new(&format!("good-{mode:o}"), &[7; 32], mode);
            assert_eq!(read(&file.0).unwrap(), [7; 32]);
        }
    }

    #[test]
    fn what_others_may_use_or_guess_is_refused() {
        for (bytes, mode, why) in
            [(32, 0o640, "640"), (32, 0o602, "602"), (15, 0o600, "15 bytes"), (0, 0o600, "0 bytes")]
        {
            let file = Scratch::new(&format!("bad-{mode:o}-{bytes}"), &vec![7; bytes], mode);
            let error = read(&file.0).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(read(Path::new("/dev/null")).unwrap_err().contains("no regular file"));
        assert!(read(Path::new("/nonexistent/secret")).unwrap_err().contains("/dev/urandom"));
    }
}
