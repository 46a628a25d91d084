//! Output of ranks that goes through this process: all of it with `--tag-output`, else only stderr, and that only where it is
//! no terminal, to know each rank's last words.
//!
//! One thread writes what all ranks print, so that no line is torn by another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// What is read at once.
const PIECE: usize = 64 * 1024;
/// A longer line is cut, since the whole of it must be held until it ends.
const LONGEST_LINE: usize = 1024 * 1024;
/// So much of a line is repeated in an error message.
const LONGEST_WORDS: usize = 1000;
/// How often a pipe is read when all ranks have ended: one that somebody still writes to is not read for ever.
const LAST_READS: usize = 32;

/// Where a rank's output goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// The reading end of a rank's output.
pub(super) struct Source {
    rank: usize,
    stream: Stream,
    pipe: OwnedFd,
    tagger: Option<Tagger>,
    words: LastWords,
}

impl Source {
    pub(super) fn new(rank: usize, stream: Stream, pipe: OwnedFd, tag: bool) -> io::Result<Self> {
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        let tagger = tag.then(|| Tagger { tag: format!("[{rank}] "), line: Vec::new() });
        Ok(Self { rank, stream, pipe, tagger, words: LastWords::default() })
    }

    /// Reads once and passes it on.
    fn pass_on(&mut self, piece: &mut [u8]) -> Step {
        match rustix::io::read(&self.pipe, &mut *piece) {
            Ok(0) => Step::Ended,
            Ok(length) => {
                let bytes = &piece[..length];
                self.words.hear(bytes);
                let tagged;
                let bytes = match &mut self.tagger {
                    None => bytes,
                    Some(tagger) => {
                        tagged = tagger.lines(bytes);
                        &tagged
                    }
                };
                // The rank is to learn from its own pipe that nobody takes it any more, as it would without us.
                write_all(self.stream, bytes).map_or_else(|error| Step::Refused(self.stream, error), |()| Step::Read)
            }
            Err(Errno::INTR) => Step::Read,
            Err(Errno::AGAIN) => Step::Empty,
            Err(_) => Step::Ended,
        }
    }

    /// Passes on what was said without an end of line; the rank's last words, where this is its stderr.
    fn close(mut self, heard: &mut Heard) {
        if let Some(rest) = self.tagger.as_mut().and_then(Tagger::rest)
            && let Err(error) = write_all(self.stream, &rest)
        {
            heard.refused(self.stream, error);
        }
        if self.stream == Stream::Stderr {
            heard.words.push((self.rank, self.words));
        }
    }
}

/// What came of one read.
enum Step {
    Read,
    Empty,
    Ended,
    /// What was read could not be written.
    Refused(Stream, io::Error),
}

/// What there is to tell when all output has ended.
#[derive(Default)]
struct Heard {
    words: Vec<(usize, LastWords)>,
    lost: Option<io::Error>,
}

impl Heard {
    /// Output was lost, unless it is a reader of stdout that wanted no more. Of what cannot be said on stderr, nobody can be told.
    fn refused(&mut self, stream: Stream, error: io::Error) {
        if stream == Stream::Stdout && error.kind() != io::ErrorKind::BrokenPipe {
            self.lost.get_or_insert(error);
        }
    }
}

/// The thread that passes output on.
pub(super) struct Relay {
    /// Closed to end the thread.
    end: OwnedFd,
    thread: JoinHandle<Heard>,
}

impl Relay {
    pub(super) fn start(sources: Vec<Source>) -> io::Result<Self> {
        let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || run(sources, &ended))?;
        Ok(Self { end, thread })
    }

    /// Passes on what is left of ranks that have all ended; what each of them said last on stderr, and why some of what they
    /// said on stdout was lost, if it was.
    pub(super) fn finish(self, ranks: usize) -> (Vec<Option<String>>, Option<io::Error>) {
        drop(self.end);
        let mut last = vec![None; ranks];
        let heard = self.thread.join().unwrap_or_default();
        for (rank, words) in heard.words {
            last[rank] = words.last();
        }
        (last, heard.lost)
    }
}

/// Passes output on until all of it has ended, or until `ended` is closed and the pipes are empty.
fn run(mut open: Vec<Source>, ended: &OwnedFd) -> Heard {
    let mut piece = vec![0; PIECE];
    let mut heard = Heard::default();
    loop {
        let mut files: Vec<PollFd<'_>> = open.iter().map(|source| PollFd::new(&source.pipe, PollFlags::IN)).collect();
        files.push(PollFd::new(ended, PollFlags::IN));
        match poll(&mut files, None) {
            Ok(_) | Err(Errno::INTR) => {}
            // Without it nothing can be passed on; ranks that write learn so from their pipes.
            Err(_) => return heard,
        }
        let ready: Vec<bool> = files.iter().map(|file| !file.revents().is_empty()).collect();
        let is_over = ready[open.len()];
        for (mut source, ready) in std::mem::take(&mut open).into_iter().zip(ready) {
            let reads = if is_over { LAST_READS } else { usize::from(ready) };
            let mut is_ended = is_over;
            for _ in 0..reads {
                match source.pass_on(&mut piece) {
                    Step::Read => {}
                    Step::Empty => break,
                    Step::Ended => {
                        is_ended = true;
                        break;
                    }
                    Step::Refused(stream, error) => {
                        heard.refused(stream, error);
                        is_ended = true;
                        break;
                    }
                }
            }
            if is_ended {
                source.close(&mut heard);
            } else {
                open.push(source);
            }
        }
        if is_over {
            return heard;
        }
    }
}

/// Writes to our own stream, whatever a rank that shares it has set there.
fn write_all(stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
    let (out, err) = (io::stdout(), io::stderr());
    let file = match stream {
        Stream::Stdout => out.as_fd(),
        Stream::Stderr => err.as_fd(),
    };
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Puts a rank's name before each of its lines.
struct Tagger {
    tag: String,
    /// What has come of the line that is not yet complete.
    line: Vec<u8>,
}

impl Tagger {
    /// The lines that are complete now.
    fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                out.extend(self.rest().unwrap_or_default());
            }
        }
        out
    }

    /// The line so far, with an end.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let end: &[u8] = if line.ends_with(b"\n") { b"" } else { b"\n" };
        (!line.is_empty()).then(|| [self.tag.as_bytes(), &line, end].concat())
    }
}

/// The last line that says something.
#[derive(Default)]
struct LastWords {
    line: Vec<u8>,
    last: String,
}

impl LastWords {
    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_WORDS.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = plain(&std::mem::take(&mut self.line));
        // What Rust adds to the message of a panic.
        if !line.is_empty() && !line.starts_with("note: ") {
            self.last = line;
        }
    }

    fn last(mut self) -> Option<String> {
        self.end_line();
        (!self.last.is_empty()).then_some(self.last)
    }
}

/// Text without what moves a terminal's cursor or colours it; of a line written over, the last.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // ECMA-48: an escape sequence with parameters ends with a byte from @ to ~.
            if characters.next() == Some('[') {
                characters.find(|c| ('@'..='~').contains(c));
            }
        } else if !character.is_control() {
            plain.push(character);
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_tagged_whole_however_they_come() {
        let mut tagger = Tagger { tag: "[3] ".into(), line: Vec::new() };
        assert_eq!(tagger.lines(b"on"), b"");
        assert_eq!(tagger.lines(b"e\ntwo\n\nthr"), b"[3] one\n[3] two\n[3] \n");
        assert_eq!(tagger.rest(), Some(b"[3] thr\n".to_vec()));
        assert_eq!(tagger.rest(), None);
    }

    #[test]
    fn a_line_without_end_is_cut_rather_than_held() {
        let mut tagger = Tagger { tag: "[0] ".into(), line: Vec::new() };
        let mut out = Vec::new();
        for _ in 0..LONGEST_LINE / 1024 + 1 {
            out.extend(tagger.lines(&[b'x'; 1024]));
        }
        assert_eq!(out.len(), LONGEST_LINE + b"[0] \n".len());
        assert_eq!(tagger.line.len(), 1024);
    }

    #[test]
    fn the_last_words_are_the_last_line_that_says_something() {
        let last = |pieces: &[&str]| {
            let mut words = LastWords::default();
            pieces.iter().for_each(|piece| words.hear(piece.as_bytes()));
            words.last()
        };
        assert_eq!(last(&[]), None);
        assert_eq!(last(&["\n \n"]), None);
        assert_eq!(last(&["warning: a\nerror", ": b\n\n"]).unwrap(), "error: b");
        assert_eq!(last(&["no end"]).unwrap(), "no end");
        assert_eq!(last(&["thread 'main' panicked:\nboom\nnote: run with ...\n"]).unwrap(), "boom");
        assert_eq!(last(&["10 %\r90 %\r\u{1b}[1;31merror\u{1b}[0m: c\n"]).unwrap(), "error: c");
        assert_eq!(last(&["x".repeat(100_000).as_str()]).unwrap().len(), LONGEST_WORDS);
    }
}
