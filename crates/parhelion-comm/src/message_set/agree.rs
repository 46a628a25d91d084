//! What peers tell each other when a set is made.

use crate::backend::prepared::Leg;
use crate::communicator::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::message_set::Method;
use crate::op::Op;

/// Words of a message between two peers: the length, and where it lies in the teller's staging memory.
type Told = [u64; 2];

/// A message that its two ends do not agree on: from, to, sent, expected. `ABSENT` is the length of a message not listed.
type Misfit = [u64; 4];
const ABSENT: u64 = u64::MAX;

/// Every rank's part of the verdict; `u64::MAX` is "none".
const NONE: u64 = u64::MAX;

/// The tags of what a sender tells, and a receiver. Sets have higher ones.
pub(super) const TAGS: [u32; 2] = [0, 1];

/// Makes all ranks agree on the set, fills in where peers have each message, and gives the most bytes that any rank
/// sends or receives. `fault` is what was wrong with this rank's arguments. Collective.
///
/// # Errors
/// At every rank if any of them, or two that exchange a message, disagree.
pub(super) fn agree(
    c: &Communicator,
    method: Method,
    in_place: bool,
    fault: Option<Error>,
    sends: &mut [Leg],
    recvs: &mut [Leg],
) -> Result<usize> {
    // First what all must have right before anybody waits for a peer.
    let form = Method::ALL.iter().position(|&m| m == method).expect("listed") as u64 * 2 + u64::from(in_place);
    let total = |legs: &[Leg]| legs.last().map_or(0, |leg| (leg.offset + leg.bytes) as u64);
    let mine = total(sends).max(total(recvs));
    let faulty = if fault.is_some() { c.rank() as u64 } else { NONE };
    // The smallest and the largest of a word are equal at all ranks if the word is.
    let words = c.all_reduce(&[faulty, form, u64::MAX - form, u64::MAX - mine], Op::Min)?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    if words[0] != NONE {
        return Err(mismatch(format!("rank {} gave arguments that cannot be", words[0])));
    }
    let (least, largest) = (words[1], u64::MAX - words[2]);
    if least != largest {
        return Err(mismatch(format!("one rank asks for {}, another for {}", describe(least), describe(largest))));
    }
    let misfit = match c.config().checks {
        true => unlisted(c, sends, recvs)?,
        false => None,
    };
    verdict(c, misfit)?;
    let misfit = tell(c, sends, recvs)?;
    verdict(c, misfit)?;
    Ok((u64::MAX - words[3]) as usize)
}

fn describe(form: u64) -> String {
    let place = if form % 2 == 1 { " in place" } else { "" };
    format!("the method {}{place}", Method::ALL[(form / 2) as usize])
}

/// A message that only one of its ends lists, or with another length.
fn unlisted(c: &Communicator, sends: &[Leg], recvs: &[Leg]) -> Result<Option<Misfit>> {
    let mut lengths = vec![ABSENT; c.size()];
    sends.iter().for_each(|leg| lengths[leg.peer] = leg.bytes as u64);
    let sent = c.all_to_all(&lengths)?;
    let mut expected = vec![ABSENT; c.size()];
    recvs.iter().for_each(|leg| expected[leg.peer] = leg.bytes as u64);
    let misfit = (0..c.size()).find(|&from| sent[from] != expected[from]);
    Ok(misfit.map(|from| [from as u64, c.rank() as u64, sent[from], expected[from]]))
}

/// Tells every peer the length and place of each message it shares with this rank.
fn tell(c: &Communicator, sends: &mut [Leg], recvs: &mut [Leg]) -> Result<Option<Misfit>> {
    let told = |leg: &Leg| vec![leg.bytes as u64, leg.offset as u64];
    let answers = sends.iter().map(|leg| c.irecv(vec![0u64; 2], leg.peer, TAGS[1])).collect::<Result<Vec<_>>>()?;
    let offers = recvs.iter().map(|leg| c.irecv(vec![0u64; 2], leg.peer, TAGS[0])).collect::<Result<Vec<_>>>()?;
    let mut outgoing = Vec::with_capacity(sends.len() + recvs.len());
    for leg in &*sends {
        outgoing.push(c.isend(told(leg), leg.peer, TAGS[0])?);
    }
    for leg in &*recvs {
        outgoing.push(c.isend(told(leg), leg.peer, TAGS[1])?);
    }
    let me = c.rank() as u64;
    let mut misfit = None;
    for (leg, answer) in sends.iter_mut().zip(answers) {
        let [expected, offset] = pair(answer.wait()?)?;
        leg.remote_offset = offset as usize;
        if expected != leg.bytes as u64 {
            misfit = Some([me, leg.peer as u64, leg.bytes as u64, expected]);
        }
    }
    for (leg, offer) in recvs.iter_mut().zip(offers) {
        let [sent, offset] = pair(offer.wait()?)?;
        leg.remote_offset = offset as usize;
        if sent != leg.bytes as u64 {
            misfit = Some([leg.peer as u64, me, sent, leg.bytes as u64]);
        }
    }
    for request in outgoing {
        request.wait()?;
    }
    Ok(misfit)
}

fn pair(words: Vec<u64>) -> Result<Told> {
    words.try_into().map_err(|_| mismatch("a peer makes another set than this rank".to_owned()))
}

/// The misfit of the lowest rank that has one, as an error at every rank.
fn verdict(c: &Communicator, misfit: Option<Misfit>) -> Result<()> {
    let mine = if misfit.is_some() { c.rank() as u64 } else { NONE };
    let first = c.all_reduce(&[mine], Op::Min)?[0];
    if first == NONE {
        return Ok(());
    }
    let mut words = misfit.unwrap_or_default();
    c.broadcast(&mut words, first as usize)?;
    let [from, to, sent, expected] = words;
    Err(mismatch(match (sent, expected) {
        (ABSENT, expected) => {
            format!("rank {to} expects {expected} bytes from rank {from}, which does not list a message to it")
        }
        (sent, ABSENT) => format!("rank {from} sends {sent} bytes to rank {to}, which does not list a message from it"),
        _ => format!("rank {from} sends {sent} bytes to rank {to}, which expects {expected}"),
    }))
}

#[cold]
fn mismatch(text: String) -> Error {
    Error::new("message_set", ErrorKind::Mismatch(text))
}
