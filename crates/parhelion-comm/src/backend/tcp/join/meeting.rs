//! [`Meeting`]: the place where the ranks meet, and lists of ranks in words.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// A host and a range of its ports: rank 0 listens at the first free one, the others try them all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meeting {
    host: String,
    first: u16,
    last: u16,
}

impl Meeting {
    /// `ports` ports of `host` from `first` on, or as many as there are.
    pub(super) fn new(host: &str, first: u16, ports: u16) -> Self {
        Meeting { host: host.to_owned(), first, last: first.saturating_add(ports - 1) }
    }

    /// Every address that may be the place, port by port.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let found = (self.host.as_str(), self.first).to_socket_addrs()?;
        let hosts: Vec<SocketAddr> = found.collect();
        let at = |port| hosts.iter().map(move |&host| with_port(host, port));
        Ok((self.first..=self.last).flat_map(at).collect())
    }

    /// The same places at an address of this process's own.
    pub(super) fn at(&self, address: IpAddr) -> Vec<SocketAddr> {
        (self.first..=self.last).map(|port| SocketAddr::new(address, port)).collect()
    }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Whether `host` is an IPv6 address that is good on one link of one host alone, with or without the name of that link.
fn is_link_local(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse().is_ok_and(|address: Ipv6Addr| address.is_unicast_link_local())
}

impl FromStr for Meeting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "give HOST:PORT or HOST:FIRST-LAST, an IPv6 address in brackets";
        const LINK_LOCAL: &str =
            "a link-local address names another link at every host; give one that means the same to all ranks";
        let (host, ports) = text.rsplit_once(':').ok_or(FORM)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(FORM)?,
            None if host.contains(':') => return Err(FORM),
            None => host,
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let [first, last] = [first, last].map(|port| port.parse::<u16>().ok().filter(|&port| port > 0));
        match (first, last) {
            _ if host.is_empty() => Err(FORM),
            _ if is_link_local(host) => Err(LINK_LOCAL),
            (Some(first), Some(last)) if first <= last => Ok(Meeting { host: host.to_owned(), first, last }),
            (Some(_), Some(_)) => Err("the first port is above the last"),
            _ => Err("a port is a number from 1 to 65535"),
        }
    }
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        write!(f, ":{}", self.first)?;
        if self.last > self.first { write!(f, "-{}", self.last) } else { Ok(()) }
    }
}

/// Ranks in words, ascending: `rank 3`, `ranks 1, 4-9 and 12`.
pub(super) fn listed(ranks: &[usize]) -> String {
    const MOST: usize = 16;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &rank in ranks {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == rank => *last = rank,
            _ => runs.push((rank, rank)),
        }
    }
    let shown = |&(first, last): &(usize, usize)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    let words: Vec<String> = runs.iter().take(MOST).map(shown).collect();
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    let left: usize = runs.iter().skip(MOST).map(|(first, last)| last - first + 1).sum();
    match left {
        0 => format!("{noun} {}", words.join(", ")),
        _ => format!("{noun} {} and {left} more", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_written_alike() {
        for text in ["localhost:5000", "node-7.cluster:5000-5010", "127.0.0.1:1", "[::1]:65535", "[2001:db8::1]:80-90"]
        {
            assert_eq!(text.parse::<Meeting>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (text, why) in [
            ("localhost", "HOST:PORT"),
            (":5000", "HOST:PORT"),
            ("::1:5000", "brackets"),
            ("[::1:5000", "brackets"),
            ("localhost:", "1 to 65535"),
            ("localhost:0", "1 to 65535"),
            ("localhost:65536", "1 to 65535"),
            ("localhost:5-", "1 to 65535"),
            ("localhost:9-5", "above the last"),
            ("[fe80::1%eth0]:80-90", "link-local"),
            ("[fe80::1]:80", "link-local"),
        ] {
            let error = text.parse::<Meeting>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn every_port_of_the_range_is_tried() {
        let meeting: Meeting = "127.0.0.1:65533-65535".parse().unwrap();
        let ports: Vec<u16> = meeting.addresses().unwrap().iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [65533, 65534, 65535]);
        assert_eq!(Meeting::new("x", 65530, 16).to_string(), "x:65530-65535");
    }

    #[test]
    fn ranks_are_listed_in_runs() {
        assert_eq!(listed(&[3]), "rank 3");
        assert_eq!(listed(&[1, 2, 4, 5, 6, 9]), "ranks 1, 2, 4-6, 9");
        let many: Vec<usize> = (0..100).map(|i| 2 * i).collect();
        assert!(listed(&many).ends_with("28, 30 and 84 more"), "{}", listed(&many));
    }
}
