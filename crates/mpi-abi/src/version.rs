//! Who made the library, and which version it is, from the text of `MPI_Get_library_version`.

/// Who made a library. The family says which ABI it speaks, the vendor whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vendor {
    /// Open MPI.
    OpenMpi,
    /// MPICH itself.
    Mpich,
    /// Intel MPI, derived from MPICH.
    Intel,
    /// Anything else: MVAPICH, Cray MPICH and others of the mpich family.
    Other,
}

/// Vendor and version of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Who made it.
    pub vendor: Vendor,
    /// The vendor's major version (Intel: the year).
    pub major: u32,
    /// The vendor's minor version.
    pub minor: u32,
    /// The vendor's patch level; 0 when the text has none.
    pub patch: u32,
}

impl Version {
    /// Reads the text that the library gives. What cannot be read is vendor `Other`, version 0.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (vendor, rest) = if let Some(rest) = after(text, "Open MPI v") {
            (Vendor::OpenMpi, rest)
        } else if let Some(rest) = after(text, "Intel(R) MPI Library") {
            (Vendor::Intel, rest)
        } else if text.starts_with("MPICH Version") {
            (Vendor::Mpich, text)
        } else {
            (Vendor::Other, text)
        };
        let digits = rest.find(|c: char| c.is_ascii_digit()).map_or("", |at| &rest[at..]);
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let mut parts = digits[..end].split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self { vendor, major: next(), minor: next(), patch: next() }
    }
}

fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.find(prefix).map(|at| &text[at + prefix.len()..])
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { vendor, major, minor, patch } = self;
        match vendor {
            Vendor::OpenMpi => write!(f, "Open MPI {major}.{minor}.{patch}"),
            Vendor::Mpich => write!(f, "MPICH {major}.{minor}.{patch}"),
            Vendor::Intel => write!(f, "Intel MPI {major}.{minor}.{patch}"),
            Vendor::Other => write!(f, "MPI library {major}.{minor}.{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_real_libraries_are_understood() {
        let cases = [
            ("Open MPI v5.0.11, package: Open MPI root@x Distribution, ident: 5.0.11", "Open MPI 5.0.11"),
            ("Open MPI v4.1.8, package: conda", "Open MPI 4.1.8"),
            ("MPICH Version:      4.3.2\nMPICH Release date: x", "MPICH 4.3.2"),
            ("MPICH Version:\t3.4.3\n", "MPICH 3.4.3"),
            ("Intel(R) MPI Library 2021.18 for Linux* OS\n", "Intel MPI 2021.18.0"),
            ("MPI VERSION    : CRAY MPICH version 8.1.29.2 (ANL base 3.4a2)", "MPI library 8.1.29"),
            ("", "MPI library 0.0.0"),
        ];
        for (text, shown) in cases {
            assert_eq!(Version::parse(text).to_string(), shown);
        }
    }
}
