//! Reads the Matrix Market exchange format (Boisvert, Pozo, Remington: NISTIR 5935, 1996).
//!
//! Understood: `matrix coordinate`, fields `real`, `integer` and `pattern` (whose entries count as 1), symmetries
//! `general`, `symmetric` and `skew-symmetric`; the banner in any case, comments and blank lines anywhere after it, CRLF,
//! Fortran exponents. Not understood, and said so: `array`, `complex`, `hermitian`.
//!
//! A symmetric or skew-symmetric file holds the lower triangle; an entry above the diagonal is an error, because reading
//! it would count it twice if its mirror image is there as well. A skew-symmetric file has no diagonal; explicit zeros
//! there are dropped. Entries at the same place add up, as assembled finite elements need.
//!
//! Nothing is allocated on the word of the size line: memory grows with the entries that are really there.

use std::io::BufRead;

use crate::text::{Line, Lines, TextError, finite, quote};

/// One entry; row and column from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    pub(crate) column: u32,
    pub(crate) value: f64,
}

/// A matrix as the file lists it, with the mirrored half of a symmetric one filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coordinate {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    /// In the file's order, each mirror image right after its original; places may occur more than once.
    pub(crate) entries: Vec<Entry>,
    /// The line of the file that gives the sizes.
    pub(crate) size_line: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Real,
    Integer,
    Pattern,
}

#[derive(Clone, Copy, PartialEq)]
enum Symmetry {
    General,
    Symmetric,
    SkewSymmetric,
}

/// What the size line says.
#[derive(Clone, Copy)]
struct Size {
    rows: u32,
    columns: u32,
    entries: u64,
    line: u64,
}

/// Reads a matrix.
///
/// # Errors
/// What is wrong, with the line: any departure from the format, an index out of bounds, a value that is not finite, more
/// or fewer entries than the size line says.
pub(crate) fn read(reader: impl BufRead) -> Result<Coordinate, TextError> {
    let mut lines = Lines::new(reader, b"%");
    let (field, symmetry, size) = head(&mut lines)?;
    // 1 Mi entries are 16 MiB: enough to spare most files the growth, harmless if the size line lies.
    let mirrored = if symmetry == Symmetry::General { 1 } else { 2 };
    let mut entries = Vec::with_capacity(size.entries.saturating_mul(mirrored).min(1 << 20) as usize);
    for read in 0..size.entries {
        let Some(line) = lines.next_with_content()? else {
            return Err(ended(&lines, &format!("after {read} of {} entries", size.entries)));
        };
        let entry = entry(line, field, &size)?;
        let Entry { row, column, value } = entry;
        if symmetry == Symmetry::General {
            entries.push(entry);
            continue;
        }
        if column > row {
            return Err(line.wrong(format!(
                "entry ({}, {}) is above the diagonal; a symmetric file holds the lower triangle only",
                row + 1,
                column + 1
            )));
        }
        match (row == column, symmetry) {
            (true, Symmetry::SkewSymmetric) if value != 0.0 => {
                return Err(line.wrong(format!(
                    "entry ({}, {}) is on the diagonal of a skew-symmetric matrix, which is zero",
                    row + 1,
                    column + 1
                )));
            }
            (true, Symmetry::SkewSymmetric) => {}
            (true, _) => entries.push(entry),
            (false, _) => {
                let mirror = if symmetry == Symmetry::SkewSymmetric { -value } else { value };
                entries.extend([entry, Entry { row: column, column: row, value: mirror }]);
            }
        }
    }
    if let Some(line) = lines.next_with_content()? {
        let reason = format!("more than the {} entries that line {} announces", size.entries, size.line);
        return Err(line.wrong(reason));
    }
    Ok(Coordinate { rows: size.rows, columns: size.columns, entries, size_line: size.line })
}

/// The number of rows that a matrix announces; its entries are not read.
///
/// # Errors
/// What is wrong up to the size line.
pub(crate) fn rows(reader: impl BufRead) -> Result<u32, TextError> {
    let (_, _, size) = head(&mut Lines::new(reader, b"%"))?;
    Ok(size.rows)
}

/// What comes before the entries.
fn head(lines: &mut Lines<impl BufRead>) -> Result<(Field, Symmetry, Size), TextError> {
    let (field, symmetry) = match lines.next()? {
        Some(line) => banner(line)?,
        None => return Err(TextError::Wrong { line: 1, reason: "the file is empty".into() }),
    };
    match lines.next_with_content()? {
        Some(line) => Ok((field, symmetry, size_line(line, symmetry)?)),
        None => Err(ended(lines, "before the line with rows, columns and entries")),
    }
}

/// Whether a file that starts like this claims to be in Matrix Market form.
pub(crate) fn has_banner(start: &[u8]) -> bool {
    const WORD: &[u8] = b"%%MatrixMarket";
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start.len() >= WORD.len() && start[..WORD.len()].eq_ignore_ascii_case(WORD)
}

/// Reads dense vectors: `matrix array`, real or integer, with so many columns; one column behind the other. They are symmetric
/// where a program that writes matrices has found as many of them as rows to be so: then the file has the lower triangle.
pub(crate) fn read_vectors(reader: impl BufRead, columns: usize) -> Result<Vec<f64>, TextError> {
    let mut lines = Lines::new(reader, b"%");
    let Some(line) = lines.next()? else {
        return Err(TextError::Wrong { line: 1, reason: "the file is empty".into() });
    };
    let [object, format, field, symmetry] = banner_words(line)?;
    if (object.as_str(), format.as_str()) != ("matrix", "array") {
        return Err(line
            .wrong(format!("a vector is a 'matrix array', not a {}", quote(format!("{object} {format}").as_bytes()))));
    }
    let symmetric = symmetry == "symmetric";
    if !matches!(field.as_str(), "real" | "integer" | "double") || !(symmetric || symmetry == "general") {
        return Err(line.wrong("a vector must be real or integer, and general or symmetric"));
    }
    let announced = match lines.next_with_content()? {
        Some(line) => {
            let all = vector_lengths(line, columns)?;
            match columns as u64 {
                n if symmetric && n.checked_mul(n) != Some(all) => {
                    return Err(line.wrong("symmetric, but not as many columns as rows"));
                }
                n if symmetric => all.midpoint(n),
                _ => all,
            }
        }
        None => return Err(ended(&lines, "before the line with rows and columns")),
    };
    let mut values = Vec::with_capacity(announced.min(1 << 20) as usize);
    for read in 0..announced {
        match lines.next_with_content()? {
            Some(line) => values.push(line.only_number("value")?),
            None => return Err(ended(&lines, &format!("after {read} of {announced} values"))),
        }
    }
    match lines.next_with_content()? {
        Some(line) => Err(line.wrong(format!("more than the {announced} values announced"))),
        None if symmetric => Ok(mirrored(&values, columns)),
        None => Ok(values),
    }
}

/// All of a symmetric matrix of n rows, by columns, of whose columns `lower` has what is on the diagonal and below.
fn mirrored(lower: &[f64], n: usize) -> Vec<f64> {
    let mut all = vec![0.0; n * n];
    let places = (0..n).flat_map(|column| (column..n).map(move |row| (row, column)));
    for ((row, column), &value) in places.zip(lower) {
        all[column * n + row] = value;
        all[row * n + column] = value;
    }
    all
}

/// The number of values of so many columns.
fn vector_lengths(line: Line<'_>, expected: usize) -> Result<u64, TextError> {
    let mut words = line.words();
    let (Some(rows), Some(columns), None) = (words.next(), words.next(), words.next()) else {
        return Err(line.wrong("expected rows and columns, two numbers"));
    };
    match count(line, columns, "columns")? {
        columns if columns == expected as u64 => match count(line, rows, "rows")?.checked_mul(columns) {
            Some(values) => Ok(values),
            None => Err(line.wrong("more values than can be counted")),
        },
        columns if expected == 1 => Err(line.wrong(format!("a vector has one column, not {columns}"))),
        columns => Err(line.wrong(format!("{columns} columns, where --columns asks for {expected}"))),
    }
}

fn ended<R: BufRead>(lines: &Lines<R>, when: &str) -> TextError {
    TextError::Wrong { line: lines.count(), reason: format!("the file ends {when}") }
}

/// The four words after `%%MatrixMarket`, in lower case.
fn banner_words(line: Line<'_>) -> Result<[String; 4], TextError> {
    if line.bytes.starts_with(b"\x1f\x8b") {
        return Err(line.wrong("compressed by gzip, which is not read here; unpack it with gunzip first"));
    }
    if !has_banner(line.bytes) {
        return Err(line.wrong("not a Matrix Market file: the first line must start with '%%MatrixMarket'"));
    }
    let words: Vec<String> =
        line.words().skip(1).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
    words.try_into().map_err(|_| {
        line.wrong("expected '%%MatrixMarket matrix coordinate', then real, integer or pattern, then the symmetry")
    })
}

fn banner(line: Line<'_>) -> Result<(Field, Symmetry), TextError> {
    let [object, format, field, symmetry] = banner_words(line)?;
    if object != "matrix" {
        return Err(line.wrong(format!("object {} is not supported, only 'matrix'", quote(object.as_bytes()))));
    }
    match format.as_str() {
        "coordinate" => {}
        "array" => {
            return Err(line.wrong("a dense matrix ('array') is not supported, only 'coordinate'"));
        }
        other => {
            return Err(line.wrong(format!("unknown format {}, expected 'coordinate'", quote(other.as_bytes()))));
        }
    }
    let field = match field.as_str() {
        "real" | "double" => Field::Real,
        "integer" => Field::Integer,
        "pattern" => Field::Pattern,
        "complex" => {
            return Err(line.wrong("complex matrices are not supported, only real, integer and pattern"));
        }
        other => {
            let reason = format!("unknown field {}, expected real, integer or pattern", quote(other.as_bytes()));
            return Err(line.wrong(reason));
        }
    };
    let symmetry = match symmetry.as_str() {
        "general" => Symmetry::General,
        "symmetric" => Symmetry::Symmetric,
        "skew-symmetric" if field == Field::Pattern => {
            return Err(line.wrong("a pattern matrix has no signs, so it cannot be skew-symmetric"));
        }
        "skew-symmetric" => Symmetry::SkewSymmetric,
        "hermitian" => {
            return Err(line.wrong("hermitian matrices are not supported; a real one is called 'symmetric'"));
        }
        other => {
            let other = quote(other.as_bytes());
            return Err(line.wrong(format!("unknown symmetry {other}, expected general, symmetric or skew-symmetric")));
        }
    };
    Ok((field, symmetry))
}

fn count(line: Line<'_>, word: &[u8], what: &str) -> Result<u64, TextError> {
    integer(word).ok_or_else(|| line.wrong(format!("the number of {what}: {} is not a count", quote(word))))
}

/// A whole number without sign; `None` if it is none or exceeds 64 bits.
fn integer(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

fn size_line(line: Line<'_>, symmetry: Symmetry) -> Result<Size, TextError> {
    let mut words = line.words();
    let (Some(rows), Some(columns), Some(entries), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(line.wrong("expected rows, columns and entries, three numbers"));
    };
    let dimension = |word, what: &str| {
        let number = count(line, word, what)?;
        u32::try_from(number)
            .map_err(|_| line.wrong(format!("{number} {what} are more than the {} supported", u32::MAX)))
    };
    let (rows, columns) = (dimension(rows, "rows")?, dimension(columns, "columns")?);
    let entries = count(line, entries, "entries")?;
    if symmetry != Symmetry::General && rows != columns {
        return Err(line.wrong(format!("{rows} rows and {columns} columns: a symmetric matrix is square")));
    }
    if (rows == 0 || columns == 0) && entries > 0 {
        return Err(line.wrong(format!("{entries} entries in a matrix of {rows} rows and {columns} columns")));
    }
    Ok(Size { rows, columns, entries, line: line.number })
}

fn entry(line: Line<'_>, field: Field, size: &Size) -> Result<Entry, TextError> {
    let mut words = line.words();
    let expected = || {
        line.wrong(match field {
            Field::Pattern => "expected row and column, two numbers",
            _ => "expected row, column and value, three numbers",
        })
    };
    let (row, column) = words.next().zip(words.next()).ok_or_else(expected)?;
    let row = index(line, row, size.rows, "row")?;
    let column = index(line, column, size.columns, "column")?;
    let value = match field {
        Field::Pattern => 1.0,
        Field::Integer => {
            let word = words.next().ok_or_else(expected)?;
            let text = std::str::from_utf8(word).unwrap_or_default();
            match text.parse::<i64>() {
                Ok(value) => value as f64,
                Err(_) => {
                    return Err(line.wrong(format!("{} is not an integer of 64 bits", quote(word))));
                }
            }
        }
        Field::Real => finite(words.next().ok_or_else(expected)?).map_err(|reason| line.wrong(reason))?,
    };
    if words.next().is_some() {
        return Err(expected());
    }
    Ok(Entry { row, column, value })
}

/// An index of the file (from 1) as an index from 0.
fn index(line: Line<'_>, word: &[u8], bound: u32, what: &str) -> Result<u32, TextError> {
    match integer(word) {
        Some(number @ 1..) if number <= u64::from(bound) => Ok((number - 1) as u32),
        Some(number) => Err(line.wrong(format!("{what} {number} is outside 1 to {bound}"))),
        None => Err(line.wrong(format!("the {what}: {} is not an index", quote(word)))),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> (u64, String) {
        match read(text.as_bytes()) {
            Err(TextError::Wrong { line, reason }) => (line, reason),
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    fn triplets(text: &str) -> Vec<(u32, u32, f64)> {
        read(text.as_bytes()).unwrap().entries.iter().map(|e| (e.row, e.column, e.value)).collect()
    }

    #[test]
    fn general_real_with_comments_blank_lines_and_crlf() {
        let text = "%%matrixmarket MATRIX Coordinate REAL General\r\n% c\r\n\r\n 2 3 2\r\n\r\n1 1 2.5\r\n% c\r\n2 3 -1D0\r\n\r\n";
        let matrix = read(text.as_bytes()).unwrap();
        assert_eq!((matrix.rows, matrix.columns, matrix.size_line), (2, 3, 4));
        assert_eq!(triplets(text), [(0, 0, 2.5), (1, 2, -1.0)]);
    }

    #[test]
    fn the_mirror_half_is_filled_in() {
        let symmetric = "%%MatrixMarket matrix coordinate integer symmetric\n2 2 2\n1 1 3\n2 1 -4\n";
        assert_eq!(triplets(symmetric), [(0, 0, 3.0), (1, 0, -4.0), (0, 1, -4.0)]);
        let skew = "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 2\n2 1 4\n2 2 0\n";
        assert_eq!(triplets(skew), [(1, 0, 4.0), (0, 1, -4.0)]);
        let pattern = "%%MatrixMarket matrix coordinate pattern symmetric\n2 2 1\n2 1\n";
        assert_eq!(triplets(pattern), [(1, 0, 1.0), (0, 1, 1.0)]);
    }

    #[test]
    fn what_is_not_supported_is_said_at_the_banner() {
        for (banner, word) in [
            ("%%MatrixMarket matrix array real general", "array"),
            ("%%MatrixMarket matrix coordinate complex general", "complex"),
            ("%%MatrixMarket matrix coordinate real hermitian", "hermitian"),
            ("%%MatrixMarket matrix coordinate pattern skew-symmetric", "skew"),
            ("%%MatrixMarket vector coordinate real general", "vector"),
            ("%%MatrixMarket matrix coordinate quaternion general", "quaternion"),
            ("%%MatrixMarket matrix coordinate real lower", "lower"),
            ("%%MatrixMarket matrix coordinate real", "symmetry"),
            ("1 1 1", "%%MatrixMarket"),
        ] {
            let (line, reason) = reason(&format!("{banner}\n1 1 1\n1 1 1\n"));
            assert_eq!(line, 1);
            assert!(reason.contains(word), "{banner}: {reason}");
        }
    }

    #[test]
    fn every_malformed_line_is_named() {
        let general = "%%MatrixMarket matrix coordinate real general\n";
        for (rest, at, word) in [
            ("", 1, "ends before"),
            ("% only comments\n", 2, "ends before"),
            ("2 2\n", 2, "three numbers"),
            ("2 2 x\n", 2, "'x'"),
            ("-2 2 1\n", 2, "'-2'"),
            ("2 2 99999999999999999999\n", 2, "entries"),
            ("4294967296 1 1\n", 2, "4294967295"),
            ("0 0 1\n", 2, "1 entries"),
            ("2 2 2\n1 1 1\n", 3, "after 1 of 2"),
            ("2 2 18446744073709551615\n1 1 1\n", 3, "after 1 of"),
            ("2 2 1\n1 1 1\n\n2 2 1\n", 5, "more than the 1"),
            ("2 2 1\n3 1 1\n", 3, "row 3"),
            ("2 2 1\n1 0 1\n", 3, "column 0"),
            ("2 2 1\n1 1\n", 3, "value"),
            ("2 2 1\n1 1 1 1\n", 3, "three numbers"),
            ("2 2 1\n1 1 one\n", 3, "'one'"),
            ("2 2 1\n1 1 NaN\n", 3, "finite"),
            ("2 2 1\n1 1 -inf\n", 3, "finite"),
            ("2 2 1\n1.0 1 1\n", 3, "'1.0'"),
        ] {
            let (line, reason) = reason(&format!("{general}{rest}"));
            assert_eq!(line, at, "{rest}: {reason}");
            assert!(reason.contains(word), "{rest}: {reason}");
        }
        let symmetric = "%%MatrixMarket matrix coordinate integer symmetric\n";
        assert!(reason(&format!("{symmetric}2 3 1\n1 1 1\n")).1.contains("square"));
        assert!(reason(&format!("{symmetric}2 2 1\n1 2 1\n")).1.contains("above the diagonal"));
        assert!(reason(&format!("{symmetric}2 2 1\n2 1 1.5\n")).1.contains("integer"));
        let skew = "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n1 1 1\n";
        assert!(reason(skew).1.contains("diagonal"));
        assert!(reason("").1.contains("empty"));
    }

    #[test]
    fn vectors_are_arrays_of_one_column() {
        let vector = |text: &str| read_vectors(text.as_bytes(), 1);
        let banner = "%%MatrixMarket matrix array real general\n";
        assert_eq!(vector(&format!("{banner}% c\n2 1\n1.5\n-2\n")).unwrap(), [1.5, -2.0]);
        for rest in ["", "2 2\n1\n1\n1\n1\n", "2 1\n1\n", "1 1\n1\n1\n", "1 1\nnan\n", "1 1\n1 2\n", "1\n1\n"] {
            assert!(vector(&format!("{banner}{rest}")).is_err(), "{rest:?}");
        }
        assert!(vector("%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 1\n").is_err());
        let two = |text: &str| read_vectors(text.as_bytes(), 2);
        assert_eq!(two(&format!("{banner}2 2\n1\n2\n3\n4\n")).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        for rest in ["2 1\n1\n1\n", "2 3\n1\n", "2 2\n1\n1\n1\n", "18446744073709551615 2\n1\n"] {
            assert!(two(&format!("{banner}{rest}")).is_err(), "{rest:?}");
        }
        let symmetric = "%%MatrixMarket matrix array real symmetric\n";
        assert_eq!(vector(&format!("{symmetric}1 1\n7\n")).unwrap(), [7.0]);
        assert_eq!(two(&format!("{symmetric}2 2\n1\n2\n3\n")).unwrap(), [1.0, 2.0, 2.0, 3.0]);
        for rest in ["3 2\n1\n2\n3\n4\n5\n6\n", "2 2\n1\n2\n", "2 2\n1\n2\n3\n4\n"] {
            assert!(two(&format!("{symmetric}{rest}")).is_err(), "{rest:?}");
        }
    }

    fn general_text(rows: u32, columns: u32, entries: &[Entry]) -> String {
        let mut text = format!("%%MatrixMarket matrix coordinate real general\n{rows} {columns} {}\n", entries.len());
        for Entry { row, column, value } in entries {
            writeln!(text, "{} {} {value:e}", row + 1, column + 1).unwrap();
        }
        text
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (rows, columns, entries) in (1u32..50, 1u32..50).prop_flat_map(|(rows, columns)| {
                let entry = (0..rows, 0..columns, proptest::num::f64::NORMAL | proptest::num::f64::ZERO)
                    .prop_map(|(row, column, value)| Entry { row, column, value });
                (Just(rows), Just(columns), proptest::collection::vec(entry, 0..60))
            })
        ) {
            let matrix = read(general_text(rows, columns, &entries).as_bytes()).unwrap();
            prop_assert_eq!(matrix, Coordinate { rows, columns, entries, size_line: 2 });
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes[..]);
            let _ = read_vectors(&bytes[..], 1);
        }

        #[test]
        fn no_text_after_a_good_start_makes_it_panic(
            banner in "(real|integer|pattern) (general|symmetric|skew-symmetric)",
            rest in "[0-9 .eE+\\-\n%a\r]{0,200}",
        ) {
            let text = format!("%%MatrixMarket matrix coordinate {banner}\n{rest}");
            match read(text.as_bytes()) {
                Ok(matrix) => prop_assert!(matrix.entries.iter().all(|e| e.value.is_finite()
                    && e.row < matrix.rows && e.column < matrix.columns)),
                Err(TextError::Wrong { line, .. }) => {
                    prop_assert!(line >= 1 && line <= text.lines().count() as u64)
                }
                Err(TextError::Io(error)) => prop_assert!(false, "{}", error),
            }
        }
    }
}
