//! How a plan is carried out: [`Scheme`], [`Packing`], and the two together as [`Settings`].

use std::fmt;
use std::str::FromStr;

use parhelion_comm::{Error, ErrorKind, Method, Result};

/// How a plan is carried out. Every scheme works on every backend, for every element type, with the same result to the
/// last bit; which is fastest depends on the machine, the library and the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Non-blocking sends and receives (MPI sections 3.7).
    P2p,
    /// Persistent sends and receives, set up once (MPI section 3.9).
    Persistent,
    /// One neighbourhood collective per exchange (MPI section 8.7).
    Neighbor,
    /// A persistent neighbourhood collective, set up once (MPI section 8.8).
    PersistentNeighbor,
    /// Each rank gets what it needs from its neighbours' windows (MPI chapter 12): a get begins in its start, a test or its
    /// finish, whichever finds that the neighbour has started, and is waited for in the finish.
    RmaPull,
    /// Each rank puts what its neighbours need into their windows (MPI chapter 12) in its start, and tells them with its next
    /// call, whatever that is.
    RmaPush,
    /// Each rank copies straight out of the arrays of the ranks whose memory it can read, and messages the rest.
    ///
    /// A process has a reserve of memory that others of its node can read, as large as the machine's memory or what the limits of
    /// the process leave of it. An array that is made when it is used up has none of it, and exchanges of it fail, with
    /// [`Unsupported`](ErrorKind::Unsupported), at its rank and at those that read it, instead of sending messages: the others
    /// would have to be told. [`Scheme::P2p`] always works.
    Shared,
    /// Measures the others on the real plan when it is first used; all ranks take the one that is fastest.
    Auto,
}

impl Scheme {
    /// Every scheme that can be carried out: all but [`Scheme::Auto`].
    pub const ALL: [Scheme; 7] = [
        Scheme::P2p,
        Scheme::Persistent,
        Scheme::Neighbor,
        Scheme::PersistentNeighbor,
        Scheme::RmaPull,
        Scheme::RmaPush,
        Scheme::Shared,
    ];

    /// Whether [`Packing::Datatype`] is anything else than [`Packing::Packed`] for it, where the backend has datatypes.
    pub(super) fn has_datatypes(self) -> bool {
        matches!(self, Scheme::P2p | Scheme::Persistent | Scheme::Neighbor | Scheme::PersistentNeighbor)
    }

    /// How its messages are moved; [`Scheme::Shared`] has those of peers whose memory cannot be read.
    pub(super) fn method(self) -> Method {
        match self {
            Scheme::P2p | Scheme::Shared | Scheme::Auto => Method::PointToPoint,
            Scheme::Persistent => Method::Persistent,
            Scheme::Neighbor => Method::Neighbor,
            Scheme::PersistentNeighbor => Method::PersistentNeighbor,
            Scheme::RmaPull => Method::Pull,
            Scheme::RmaPush => Method::Push,
        }
    }

    /// Its name, as [`Display`](fmt::Display) shows and [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::P2p => "p2p",
            Scheme::Persistent => "persistent",
            Scheme::Neighbor => "neighbor",
            Scheme::PersistentNeighbor => "persistent-neighbor",
            Scheme::RmaPull => "rma-pull",
            Scheme::RmaPush => "rma-push",
            Scheme::Shared => "shared",
            Scheme::Auto => "auto",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let all = || Scheme::ALL.into_iter().chain([Scheme::Auto]);
        all().find(|scheme| scheme.name() == text).ok_or_else(|| {
            let names: Vec<&str> = all().map(Scheme::name).collect();
            format!("unknown scheme {text:?}; use {}", names.join(", "))
        })
    }
}

/// How the elements of a message get out of an array and into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Packing {
    /// Copied into one contiguous message, and out of it; not where a message lies in one piece anyway, as in a halo numbered
    /// by owner.
    #[default]
    Packed,
    /// Sent and received where they lie, by derived datatypes where the backend has them (MPI section 5.1). Means the same
    /// as [`Packing::Packed`] for [`Scheme::Shared`], which makes one copy without it; for [`Scheme::RmaPull`] and
    /// [`Scheme::RmaPush`], whose messages lie in windows of their own; and for adjoint exchanges, which combine what arrives.
    ///
    /// [`Scheme::PersistentNeighbor`] then means [`Scheme::Neighbor`]: ranks bind a persistent collective to its memory together, and
    /// which arrays come again is each rank's own affair.
    Datatype,
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Packing::Packed => "packed",
            Packing::Datatype => "datatype",
        })
    }
}

impl FromStr for Packing {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "packed" => Ok(Packing::Packed),
            "datatype" => Ok(Packing::Datatype),
            _ => Err(format!("unknown packing {text:?}; use packed or datatype")),
        }
    }
}

/// A scheme and its packing, written `p2p` (packed) or `p2p+datatype`.
///
/// ```
/// use parhelion::halo::{Packing, Scheme, Settings};
///
/// let settings: Settings = "persistent+datatype".parse()?;
/// assert_eq!(settings, Settings::from(Scheme::Persistent).packing(Packing::Datatype));
/// assert_eq!(Settings::from(Scheme::P2p).to_string(), "p2p");
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Settings {
    /// How messages travel.
    pub scheme: Scheme,
    /// How their elements get in and out.
    pub packing: Packing,
}

impl Settings {
    /// The variable that names the settings where a program names none, such as `p2p` or `persistent+datatype`: equal at all
    /// ranks. What a program says of a decomposition or a descriptor goes first.
    pub const VARIABLE: &'static str = "PARHELION_SCHEME";

    /// Sets the packing.
    #[must_use]
    pub fn packing(self, packing: Packing) -> Self {
        Settings { packing, ..self }
    }

    /// What `PARHELION_SCHEME` names, else [`Scheme::Shared`].
    ///
    /// # Errors
    /// A value that names no scheme.
    pub fn from_env() -> Result<Self> {
        let Some(value) = std::env::var_os(Self::VARIABLE).filter(|value| !value.is_empty()) else {
            return Ok(Settings::default());
        };
        let text = value.to_string_lossy();
        text.parse().map_err(|why| Error::new("scheme", ErrorKind::Config(format!("{}={text}: {why}", Self::VARIABLE))))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Scheme::Shared.into()
    }
}

impl From<Scheme> for Settings {
    fn from(scheme: Scheme) -> Self {
        Settings { scheme, packing: Packing::Packed }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packing {
            Packing::Packed => self.scheme.fmt(f),
            Packing::Datatype => f.pad(&format!("{}+datatype", self.scheme)),
        }
    }
}

impl FromStr for Settings {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (scheme, packing) = match text.split_once('+') {
            Some((scheme, packing)) => (scheme, packing.parse()?),
            None => (text, Packing::Packed),
        };
        Ok(Settings { scheme: scheme.parse()?, packing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for scheme in Scheme::ALL.into_iter().chain([Scheme::Auto]) {
            for packing in [Packing::Packed, Packing::Datatype] {
                let settings = Settings { scheme, packing };
                assert_eq!(settings.to_string().parse(), Ok(settings));
            }
        }
        assert_eq!("rma-pull+packed".parse(), Ok(Settings::from(Scheme::RmaPull)));
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        let why = "p2p+zip".parse::<Settings>().unwrap_err();
        assert!(why.contains("zip") && why.contains("datatype"), "{why}");
        let why = "telepathy".parse::<Settings>().unwrap_err();
        assert!(why.contains("telepathy") && why.contains("persistent-neighbor"), "{why}");
    }
}
