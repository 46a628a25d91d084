//! Numbers as people read them.

/// Bytes in at most five characters or so: `512 B`, `3.5 kB`, `12 MB`; powers of ten.
pub(crate) fn short_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    if value < 1000.0 {
        return format!("{bytes} B");
    }
    for unit in ["kB", "MB", "GB", "TB"] {
        value /= 1000.0;
        if value < 9.95 {
            return format!("{value:.1} {unit}");
        }
        if value < 999.5 {
            return format!("{value:.0} {unit}");
        }
    }
    format!("{value:.0} TB")
}

/// `1 rank`, `2 ranks`; `2 entries`, `2 indices`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let (stem, ending) = match (what, what.strip_suffix('y')) {
        _ if number == 1 => (what, ""),
        ("index", _) => ("ind", "ices"),
        (_, Some(stem)) => (stem, "ies"),
        _ => (what, "s"),
    };
    format!("{} {stem}{ending}", grouped(number))
}

/// `4,884`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        let shown = [0, 999, 1000, 9949, 9950, 999_400, 999_600].map(short_bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 4_884_000].map(grouped), ["0", "999", "1,000", "4,884,000"]);
        assert_eq!([counted(1, "rank"), counted(2000, "rank")], ["1 rank", "2,000 ranks"]);
        let both = |what| [1, 2].map(|number| counted(number, what));
        assert_eq!([both("entry"), both("index")], [["1 entry", "2 entries"], ["1 index", "2 indices"]]);
    }
}
