//! Lines of a text file as bytes, with their numbers, whatever the file holds.

use std::io::{self, BufRead, Read};

/// A line longer than this is not a line of any format read here; only this much of it is kept.
const LONGEST: usize = 4096;

/// A number and the blank behind it; with all its digits a 64-bit number has 24 characters.
const LONGEST_NUMBER: usize = 32;

/// A problem with a text file: the line (counted from 1) and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextError {
    /// What the file says is wrong.
    #[error("line {line}: {reason}")]
    Wrong {
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong, and where it helps, what to do.
        reason: String,
    },
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One line of the file.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// Number of the line, from 1.
    pub(crate) number: u64,
    /// Its bytes, without blanks around them (so without CR and LF).
    pub(crate) bytes: &'a [u8],
}

impl<'a> Line<'a> {
    /// An error about this line.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> TextError {
        TextError::Wrong { line: self.number, reason: reason.into() }
    }

    /// The words of the line: runs of bytes between blanks.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
    }

    /// The number that is alone on this line; `what` names it in the error.
    pub(crate) fn only_number(&self, what: &str) -> Result<f64, TextError> {
        let mut words = self.words();
        let word = words.next().unwrap_or_default();
        if let Some(extra) = words.next() {
            return Err(self.wrong(format!("{} follows the {what}; one number a line is expected", quote(extra))));
        }
        finite(word).map_err(|reason| self.wrong(format!("the {what}: {reason}")))
    }
}

/// Reads lines one after the other into one buffer.
pub(crate) struct Lines<R> {
    reader: R,
    comments: &'static [u8],
    buffer: Vec<u8>,
    number: u64,
    longest: usize,
}

impl<R: BufRead> Lines<R> {
    /// `comments` are the bytes that make a line a comment when they stand first.
    pub(crate) fn new(reader: R, comments: &'static [u8]) -> Self {
        Self { reader, comments, buffer: Vec::new(), number: 0, longest: LONGEST }
    }

    /// The same for lines of so many numbers, which may be longer than others.
    pub(crate) fn of_numbers(self, count: usize) -> Self {
        Self { longest: LONGEST.max(count.saturating_mul(LONGEST_NUMBER)), ..self }
    }

    /// How many lines were read so far.
    pub(crate) fn count(&self) -> u64 {
        self.number
    }

    /// The next line, blank or not; `None` at the end of the file.
    ///
    /// A line that is too long is an error, unless it is a comment.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>, TextError> {
        Ok(self.advance()?.then(|| self.line()))
    }

    /// The next line that is neither blank nor a comment.
    pub(crate) fn next_with_content(&mut self) -> Result<Option<Line<'_>>, TextError> {
        while self.advance()? {
            if !self.line().bytes.is_empty() && !self.is_comment() {
                return Ok(Some(self.line()));
            }
        }
        Ok(None)
    }

    fn line(&self) -> Line<'_> {
        Line { number: self.number, bytes: self.buffer.trim_ascii() }
    }

    /// Reads a line into the buffer; false at the end of the file.
    fn advance(&mut self) -> Result<bool, TextError> {
        self.buffer.clear();
        if self.read_piece()? == 0 {
            return Ok(false);
        }
        self.number += 1;
        let longest = self.longest;
        if self.buffer.len() == longest && !self.buffer.ends_with(b"\n") {
            if !self.is_comment() {
                let reason = format!("longer than {longest} bytes; this is not a text file of the expected form");
                return Err(TextError::Wrong { line: self.number, reason });
            }
            let comment = std::mem::take(&mut self.buffer);
            while self.read_piece()? == longest && !self.buffer.ends_with(b"\n") {
                self.buffer.clear();
            }
            self.buffer = comment;
        }
        Ok(true)
    }

    fn is_comment(&self) -> bool {
        self.buffer.trim_ascii_start().first().is_some_and(|byte| self.comments.contains(byte))
    }

    fn read_piece(&mut self) -> io::Result<usize> {
        (&mut self.reader).take(self.longest as u64).read_until(b'\n', &mut self.buffer)
    }
}

/// Text of a file for an error message: in quotes, on one line, not endless.
pub(crate) fn quote(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    let dots = if bytes.len() > MOST { "..." } else { "" };
    format!("'{}{dots}'", text.escape_debug())
}

/// Reads a finite number. Fortran's `1.5D+03` is understood.
pub(crate) fn finite(word: &[u8]) -> Result<f64, String> {
    let not_a_number = || format!("{} is not a number", quote(word));
    let text = std::str::from_utf8(word).map_err(|_| not_a_number())?;
    let value: f64 = match text.parse() {
        Ok(value) => value,
        Err(_) if text.contains(['d', 'D']) => text.replace(['d', 'D'], "e").parse().map_err(|_| not_a_number())?,
        Err(_) => return Err(not_a_number()),
    };
    if value.is_finite() { Ok(value) } else { Err(format!("{} is not a finite number", quote(word))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_over_blanks_comments_and_line_ends() {
        let mut lines = Lines::new(&b"a\r\n\n% no\n  b c \n"[..], b"%");
        let first = lines.next_with_content().unwrap().unwrap();
        assert_eq!((first.number, first.bytes), (1, &b"a"[..]));
        let second = lines.next_with_content().unwrap().unwrap();
        assert_eq!((second.number, second.bytes), (4, &b"b c"[..]));
        assert_eq!(second.words().collect::<Vec<_>>(), [b"b", b"c"]);
        assert!(lines.next_with_content().unwrap().is_none());
    }

    #[test]
    fn a_long_comment_is_one_line_and_a_long_line_is_an_error() {
        let text = ["%".repeat(3 * LONGEST), "1".into(), "2".repeat(LONGEST + 1)].join("\n");
        let mut lines = Lines::new(text.as_bytes(), b"%#");
        assert_eq!(lines.next_with_content().unwrap().unwrap().number, 2);
        assert!(matches!(lines.next_with_content(), Err(TextError::Wrong { line: 3, .. })));
    }

    #[test]
    fn lines_of_many_numbers_may_be_longer() {
        let numbers = |count| vec!["-1.2345678901234567e-100"; count].join(" ");
        let text = [numbers(1000), "#".repeat(100_000), numbers(1400)].join("\n");
        let mut lines = Lines::new(text.as_bytes(), b"#").of_numbers(1000);
        assert_eq!(lines.next_with_content().unwrap().unwrap().words().count(), 1000);
        let Err(TextError::Wrong { line: 3, reason }) = lines.next_with_content() else { panic!("it is too long") };
        assert!(reason.contains("longer than 32000 bytes"), "{reason}");
        let mut lines = Lines::new(text.as_bytes(), b"#").of_numbers(1);
        assert!(lines.next_with_content().is_err());
    }

    #[test]
    fn only_finite_numbers_pass() {
        assert_eq!(finite(b"-1.5e3"), Ok(-1500.0));
        assert_eq!(finite(b"1.5D+03"), Ok(1500.0));
        for word in [&b"nan"[..], b"inf", b"-Infinity", b"1e999", b"", b"1,5", b"0x10", b"\xff", b"d"] {
            assert!(finite(word).is_err(), "{}", quote(word));
        }
    }

    #[test]
    fn quoted_text_stays_on_one_line_and_short() {
        assert_eq!(quote(b"a\nb\x1b"), r"'a\nb\u{1b}'");
        assert!(quote(&[b'x'; 1000]).len() < 60);
    }
}
