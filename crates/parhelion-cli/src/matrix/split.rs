//! Which rank owns which rows.
//!
//! Rows are renumbered so that every rank owns a block of consecutive ones. A split is the block bounds, with the
//! renumbering where there is one.

use std::io::BufRead;
use std::ops::Range;

use crate::numbers::counted;
use crate::text::{Lines, TextError, quote};

/// Blocks of consecutive rows, one for each rank; a block can be empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Split {
    /// Where each rank's block starts, and at the end the number of rows.
    pub(crate) starts: Vec<u32>,
}

impl Split {
    /// Blocks whose sizes differ by one at most, the larger ones first.
    pub(crate) fn balanced(rows: u32, ranks: usize) -> Self {
        let (share, larger) = (u64::from(rows) / ranks as u64, u64::from(rows) % ranks as u64);
        let start = |rank: u64| (rank * share + rank.min(larger)) as u32;
        Self { starts: (0..=ranks as u64).map(start).collect() }
    }

    /// One block for each part, and the order that makes the parts consecutive: within a part, rows stay in the order
    /// given (or their own).
    pub(crate) fn by_parts(parts: &[u32], ranks: usize, order: Option<Vec<u32>>) -> (Self, Vec<u32>) {
        let mut starts = vec![0u32; ranks + 1];
        for &part in parts {
            starts[part as usize + 1] += 1;
        }
        for rank in 0..ranks {
            starts[rank + 1] += starts[rank];
        }
        let mut order = order.unwrap_or_else(|| (0..parts.len() as u32).collect());
        order.sort_by_key(|&row| parts[row as usize]);
        (Self { starts }, order)
    }

    pub(crate) fn rows(&self) -> u32 {
        *self.starts.last().expect("never empty")
    }

    pub(crate) fn block(&self, rank: usize) -> Range<u32> {
        self.starts[rank]..self.starts[rank + 1]
    }
}

/// Reads a partition file: one part number a line, from 0, as METIS writes them; `%` and `#` start comments. A part may be
/// empty. There is one for each of `number`, which are `what`: rows, for one.
///
/// # Errors
/// A line that is no number, a part that no rank has, or not as many lines as there are to be.
pub(crate) fn read_parts(reader: impl BufRead, number: u32, what: &str, ranks: usize) -> Result<Vec<u32>, TextError> {
    let mut lines = Lines::new(reader, b"%#");
    let mut parts = Vec::new();
    while let Some(line) = lines.next_with_content()? {
        if parts.len() == number as usize {
            return Err(line.wrong(format!("more part numbers than {}", counted(number.into(), what))));
        }
        let part = std::str::from_utf8(line.bytes).ok().and_then(|text| text.parse::<u32>().ok());
        match part {
            Some(part) if (part as usize) < ranks => parts.push(part),
            Some(part) => {
                return Err(line.wrong(format!("part {part} has no rank: there are {ranks}, numbered from 0")));
            }
            None => return Err(line.wrong(format!("{} is not a part number", quote(line.bytes)))),
        }
    }
    if parts.len() < number as usize {
        let read = match (lines.count(), parts.len()) {
            (0, _) => "the file is empty".to_owned(),
            (_, read) => format!("the file ends after {}", counted(read as u64, "part number")),
        };
        let all = counted(number.into(), what);
        let reason = format!("{read}; there are {all}, and each {what} needs a line with its part number");
        return Err(TextError::Wrong { line: lines.count().max(1), reason });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn balanced_blocks_cover_the_rows_and_differ_by_one_at_most(rows in 0u32..1000, ranks in 1usize..40) {
            let split = Split::balanced(rows, ranks);
            let sizes: Vec<usize> = (0..ranks).map(|rank| split.block(rank).len()).collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), rows as usize);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert!(split.starts.is_sorted() && split.starts[0] == 0 && split.rows() == rows);
        }
    }

    #[test]
    fn the_largest_matrix_is_split_without_overflow() {
        let split = Split::balanced(u32::MAX, 4096);
        assert_eq!(split.rows(), u32::MAX);
        assert_eq!(split.block(4095).end, u32::MAX);
    }

    #[test]
    fn parts_may_be_empty_and_keep_the_order_inside() {
        let (split, order) = Split::by_parts(&[2, 0, 2, 0], 4, None);
        assert_eq!(split.starts, [0, 2, 2, 4, 4]);
        assert_eq!(order, [1, 3, 0, 2]);
        let (_, order) = Split::by_parts(&[2, 0, 2, 0], 4, Some(vec![3, 2, 1, 0]));
        assert_eq!(order, [3, 1, 2, 0]);
    }

    #[test]
    fn a_partition_file_is_checked() {
        let read = |text: &str| read_parts(text.as_bytes(), 3, "row", 2);
        assert_eq!(read("# parts\n0\n\n1\r\n0\n").unwrap(), [0, 1, 0]);
        for (text, line) in [
            ("0\n1\n", 2),
            ("0\n1\n0\n0\n", 4),
            ("0\n2\n0\n", 2),
            ("0\n-1\n0\n", 2),
            ("0 1 0\n", 1),
            ("", 1),
            ("#\n", 1),
        ] {
            match read(text) {
                Err(TextError::Wrong { line: at, .. }) => assert_eq!(at, line, "{text:?}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }
}
