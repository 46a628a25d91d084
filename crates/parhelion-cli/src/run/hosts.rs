//! Where ranks run: here, or on the hosts of a file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::error::{Error, Result};
use crate::text::{Lines, TextError, quote};

/// More processes than anybody starts by one launcher: a number beyond is a slip.
const MOST_SLOTS: usize = 65_536;

/// A line of a host file.
#[derive(Debug, PartialEq)]
struct Host {
    name: String,
    slots: usize,
}

/// Where one rank runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// `None`: here.
    pub(super) host: Option<String>,
    /// Its number among the ranks there.
    pub(super) local_rank: usize,
}

/// So many ranks, all here.
pub(super) fn here(ranks: usize) -> Vec<Place> {
    (0..ranks).map(|local_rank| Place { host: None, local_rank }).collect()
}

/// The ranks on the hosts that `path` lists, host by host; without a number as many as there are slots.
///
/// # Errors
/// The file cannot be read, a line is wrong, there are fewer slots than ranks.
pub(super) fn from_file(path: &Path, ranks: Option<usize>) -> Result<Vec<Place>> {
    let file = File::open(path).map_err(|error| Error::io(path, "read", &error))?;
    let hosts = parse(BufReader::new(file)).map_err(|error| Error::text(path, error))?;
    let slots: usize = hosts.iter().map(|host| host.slots).sum();
    let ranks = ranks.unwrap_or(slots);
    if slots == 0 {
        return Err(Error::file(path, "it lists no host"));
    }
    if ranks > slots {
        return Err(Error::file(
            path,
            format!("it has {slots} slots for {ranks} ranks; a host's are given as slots=N"),
        ));
    }
    Ok(places(&hosts, ranks))
}

fn parse(reader: impl std::io::BufRead) -> Result<Vec<Host>, TextError> {
    let mut lines = Lines::new(reader, b"#");
    let mut hosts: Vec<Host> = Vec::new();
    while let Some(line) = lines.next_with_content()? {
        let mut words = line.words();
        let word = words.next().unwrap_or_default();
        let name = std::str::from_utf8(word).ok().filter(|name| is_name(name));
        let name = name.ok_or_else(|| line.wrong(format!("{} is not the name of a host", quote(word))))?;
        let mut slots = 1;
        for (position, word) in words.enumerate() {
            let number = word.strip_prefix(b"slots=").filter(|_| position == 0);
            let number = number.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            slots = match number {
                Some(number @ 1..=MOST_SLOTS) => number,
                _ => return Err(line.wrong(format!("{} follows the host; 'host slots=N' is expected", quote(word)))),
            };
        }
        // Twice the same host are more slots of it, wherever the lines stand.
        match hosts.iter_mut().find(|host| host.name == name) {
            Some(host) => host.slots += slots,
            None => hosts.push(Host { name: name.to_owned(), slots }),
        }
    }
    Ok(hosts)
}

/// Nothing that a remote shell's own command line could take for an option or split.
fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "-._:@[]%".contains(c);
    !text.starts_with('-') && text.chars().all(is_part)
}

fn places(hosts: &[Host], ranks: usize) -> Vec<Place> {
    let slots = hosts.iter().flat_map(|host| {
        let name = (!is_here(&host.name)).then(|| host.name.clone());
        (0..host.slots).map(move |local_rank| Place { host: name.clone(), local_rank })
    });
    slots.take(ranks).collect()
}

fn is_here(name: &str) -> bool {
    ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_filled_one_after_the_other() {
        let text = "# a cluster\nlocalhost slots=2\n\nnode-1\nuser@node2 slots=3\nnode-1 slots=1\n";
        let hosts = parse(text.as_bytes()).unwrap();
        let names: Vec<_> = hosts.iter().map(|host| (host.name.as_str(), host.slots)).collect();
        assert_eq!(names, [("localhost", 2), ("node-1", 2), ("user@node2", 3)]);
        let places: Vec<_> = places(&hosts, 5).into_iter().map(|place| (place.host, place.local_rank)).collect();
        let there = |name: &str| Some(name.to_owned());
        assert_eq!(
            places,
            [(None, 0), (None, 1), (there("node-1"), 0), (there("node-1"), 1), (there("user@node2"), 0)]
        );
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        for line in
            ["-oProxyCommand=x", "a b", "a slots=0", "a slots=x", "a slots=1 slots=2", "a;b", "a slots=99999999"]
        {
            let text = format!("good\n{line}\n");
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("line 2: "), "{line}: {error}");
        }
    }
}
