//! [`Leg`]: what goes to or comes from one peer in one exchange, all fields together, as lists ready to be copied.

use std::sync::Arc;

use parhelion_comm::layout::{PairShape, combine, copy, copy_pair};
use parhelion_comm::{Element, ElementType, Kernel, Layout, Memory};

use super::aside::Aside;
use super::turns::Turns;
use super::{LocalCopy, Piece, Plan, Transfer};

/// One array's part in an exchange: its plan, and the type of its elements.
#[derive(Clone)]
pub struct Field {
    /// Who sends which elements to whom. Its patches are the field's buffers.
    pub plan: Arc<Plan>,
    /// What the elements are. Fields of one exchange may differ.
    pub element: ElementType,
}

/// Where one buffer of an exchange lies.
#[derive(Debug, Clone, Copy)]
pub struct Buffer {
    /// Its first element.
    pub ptr: *mut u8,
    /// What tells peers that can read this rank's memory where it is (`Memory::token`).
    pub token: Option<u64>,
}

impl Buffer {
    /// All of a memory.
    pub fn of<T: Element>(memory: &mut Memory<T>) -> Buffer {
        Buffer { ptr: memory.as_mut_ptr().cast(), token: memory.token() }
    }
}

// SAFETY: an address and a number; what may be done with the address is the contract of `Exchange`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

/// What happens to elements when they arrive.
#[derive(Clone, Copy)]
pub enum Landing<'a> {
    /// They replace what is there.
    Replace,
    /// They are combined with what is there, by the kernel of their field, in a fixed order: by rank of the peer (this
    /// rank among them), then in the order of the plan.
    Combine(&'a [Kernel<'a>]),
}

/// What a scheme does with elements when they arrive: a [`Landing`], or what comes before one.
#[derive(Clone, Copy)]
pub(super) enum Arrival<'a> {
    Replace,
    Combine(&'a [Kernel<'a>]),
    /// They are kept, in the order in which they would be combined.
    Keep(&'a Aside),
}

impl<'a> From<Landing<'a>> for Arrival<'a> {
    fn from(landing: Landing<'a>) -> Self {
        match landing {
            Landing::Replace => Arrival::Replace,
            Landing::Combine(kernels) => Arrival::Combine(kernels),
        }
    }
}

/// One piece of a leg.
pub(super) struct Part {
    pub(super) field: usize,
    pub(super) patch: usize,
    /// Index among the buffers of the exchange.
    pub(super) buffer: usize,
    /// Where the elements lie in it.
    pub(super) layout: Layout,
    /// Bytes of an element.
    pub(super) size: usize,
    /// Where the piece begins in the packed message, in bytes.
    pub(super) offset: usize,
    /// All of the piece, one element behind the other.
    pub(super) packed: Layout,
    /// The peer's patch, and where the elements lie in it.
    pub(super) remote_patch: usize,
    pub(super) remote: Layout,
}

/// All that goes between this rank and one peer in one direction.
pub(super) struct Leg {
    pub(super) peer: usize,
    /// Length of the packed message.
    pub(super) bytes: usize,
    /// In message order: fields by falling alignment, so that no element lies unaligned, then as the plan has them.
    pub(super) parts: Vec<Part>,
    /// How the parts are packed and unpacked.
    turns: Turns,
}

/// The copies between this rank's own buffers.
pub(super) struct Inner {
    copies: Vec<OwnCopy>,
    turns: Turns,
}

struct OwnCopy {
    field: usize,
    from_buffer: usize,
    from: Layout,
    to_buffer: usize,
    to: Layout,
    size: usize,
}

/// The index of each field's first buffer among the buffers of the exchange, and the number of all.
pub(super) fn first_buffers(fields: &[Field]) -> (Vec<usize>, usize) {
    let mut total = 0;
    let firsts = fields.iter().map(|f| {
        total += f.plan.patches().len();
        total - f.plan.patches().len()
    });
    (firsts.collect(), total)
}

/// The legs of one direction, by ascending peer.
pub(super) fn legs(fields: &[Field], transfers: impl Fn(&Plan) -> &[Transfer]) -> Vec<Leg> {
    let (firsts, _) = first_buffers(fields);
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by_key(|&f| std::cmp::Reverse(fields[f].element.align));
    let mut peers: Vec<usize> = fields.iter().flat_map(|f| transfers(&f.plan)).map(|t| t.peer).collect();
    peers.sort_unstable();
    peers.dedup();
    let mut legs: Vec<Leg> =
        peers.into_iter().map(|peer| Leg { peer, bytes: 0, parts: Vec::new(), turns: Turns::default() }).collect();
    for &field in &order {
        let size = fields[field].element.size;
        for transfer in transfers(&fields[field].plan) {
            let index = legs.binary_search_by_key(&transfer.peer, |leg| leg.peer);
            let leg = &mut legs[index.expect("every peer has a leg")];
            for piece in &transfer.pieces {
                leg.add(field, firsts[field], size, piece);
            }
        }
    }
    for leg in &mut legs {
        let part = |i: usize| &leg.parts[i];
        let kind =
            |i| Some((part(i).buffer, part(i).size, PairShape::of(&part(i).layout, &part(i).packed, part(i).size)?));
        leg.turns = Turns::new(leg.parts.len(), kind, |i| part(i).layout.end());
    }
    legs
}

impl Leg {
    fn add(&mut self, field: usize, first_buffer: usize, size: usize, piece: &Piece) {
        self.parts.push(Part {
            field,
            patch: piece.patch,
            buffer: first_buffer + piece.patch,
            layout: piece.layout.clone(),
            size,
            offset: self.bytes,
            packed: Layout::contiguous(0, piece.layout.len()),
            remote_patch: piece.remote_patch,
            remote: piece.remote.clone(),
        });
        self.bytes += piece.layout.len() * size;
    }

    /// The buffer and the byte in it from which on the whole message lies there as it is packed, if it does: a halo numbered by
    /// owner, a face across the slowest axis.
    pub(super) fn run(&self) -> Option<(usize, usize)> {
        let mut parts = self.parts.iter().filter(|part| part.size > 0);
        let ends = |part: &Part| match part.layout {
            Layout::Contiguous { start, len } => Some((part.buffer, start * part.size, (start + len) * part.size)),
            _ => None,
        };
        let (buffer, first, mut end) = ends(parts.next()?)?;
        for part in parts {
            let (next, start, after) = ends(part)?;
            if (next, start) != (buffer, end) {
                return None;
            }
            end = after;
        }
        Some((buffer, first))
    }

    /// Copies the leg's elements out of the buffers into `message`.
    ///
    /// # Safety
    /// `message` is writable for [`Leg::bytes`]; the buffers are those of the exchange, and nobody writes what is read.
    pub(super) unsafe fn pack(&self, buffers: &[Buffer], message: *mut u8) {
        for (first, second) in self.turns.iter() {
            let a = &self.parts[first];
            // SAFETY: the plan was checked: the layouts lie inside the buffers; the pieces inside the message, apart.
            unsafe {
                match second.map(|second| &self.parts[second]) {
                    None => copy(buffers[a.buffer].ptr, &a.layout, message.add(a.offset), &a.packed, a.size),
                    Some(b) => copy_pair(
                        [a, b].map(|part| buffers[part.buffer].ptr.cast_const()),
                        [&a.layout, &b.layout],
                        [a, b].map(|part| message.add(part.offset)),
                        [&a.packed, &b.packed],
                        a.size,
                    ),
                }
            }
        }
    }

    /// Lands a packed message in the buffers.
    ///
    /// # Safety
    /// `message` is readable for [`Leg::bytes`]; the buffers are those of the exchange, and nobody uses what is written.
    pub(super) unsafe fn unpack(&self, message: *const u8, buffers: &[Buffer], arrival: Arrival<'_>) {
        if !matches!(arrival, Arrival::Replace) {
            for part in &self.parts {
                let (from, to) = (message.wrapping_add(part.offset), buffers[part.buffer].ptr);
                // SAFETY: as in `pack`, the other way round.
                unsafe { land(from, &part.packed, to, &part.layout, part.size, part.field, arrival) };
            }
            return;
        }
        for (first, second) in self.turns.iter() {
            let a = &self.parts[first];
            // SAFETY: as in `pack`, the other way round.
            unsafe {
                match second.map(|second| &self.parts[second]) {
                    None => copy(message.add(a.offset), &a.packed, buffers[a.buffer].ptr, &a.layout, a.size),
                    Some(b) => copy_pair(
                        [a, b].map(|part| message.add(part.offset)),
                        [&a.packed, &b.packed],
                        [a, b].map(|part| buffers[part.buffer].ptr),
                        [&a.layout, &b.layout],
                        a.size,
                    ),
                }
            }
        }
    }
}

impl Inner {
    pub(super) fn new(fields: &[Field]) -> Self {
        let (firsts, _) = first_buffers(fields);
        let copies = |(field, f): (usize, &Field)| {
            let (first, size) = (firsts[field], f.element.size);
            let own = |c: &LocalCopy| OwnCopy {
                field,
                from_buffer: first + c.from_patch,
                from: c.from.clone(),
                to_buffer: first + c.to_patch,
                to: c.to.clone(),
                size,
            };
            f.plan.local().iter().map(own).collect::<Vec<_>>()
        };
        let copies: Vec<OwnCopy> = fields.iter().enumerate().flat_map(copies).collect();
        let kind = |i: usize| {
            let OwnCopy { from_buffer, from, to_buffer, to, size, .. } = &copies[i];
            Some((*from_buffer, *to_buffer, *size, PairShape::of(from, to, *size)?))
        };
        let turns = Turns::new(copies.len(), kind, |i| copies[i].to.end());
        Inner { copies, turns }
    }

    /// Makes the copies.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody writes what is read, or uses what is written.
    pub(super) unsafe fn land(&self, buffers: &[Buffer], arrival: Arrival<'_>) {
        let ends = |copy: &OwnCopy| (buffers[copy.from_buffer].ptr.cast_const(), buffers[copy.to_buffer].ptr);
        if !matches!(arrival, Arrival::Replace) {
            for copy in &self.copies {
                let (from, to) = ends(copy);
                // SAFETY: as below.
                unsafe { land(from, &copy.from, to, &copy.to, copy.size, copy.field, arrival) };
            }
            return;
        }
        for (first, second) in self.turns.iter() {
            let a = &self.copies[first];
            let (from, to) = ends(a);
            // SAFETY: the plan was checked: all layouts lie inside their buffers, and no element read by any copy is
            // written by one.
            unsafe {
                match second.map(|second| &self.copies[second]) {
                    None => copy(from, &a.from, to, &a.to, a.size),
                    Some(b) => copy_pair([from; 2], [&a.from, &b.from], [to; 2], [&a.to, &b.to], a.size),
                }
            }
        }
    }
}

/// Moves elements to where they belong.
///
/// # Safety
/// As [`copy`] and [`combine`].
#[inline]
pub(super) unsafe fn land(
    src: *const u8,
    from: &Layout,
    dst: *mut u8,
    to: &Layout,
    size: usize,
    field: usize,
    arrival: Arrival<'_>,
) {
    // SAFETY: the caller's promise, for each.
    unsafe {
        match arrival {
            Arrival::Replace => copy(src, from, dst, to, size),
            Arrival::Combine(kernels) => combine(src, from, dst, to, &kernels[field]),
            Arrival::Keep(aside) => aside.keep(src, from, dst, to, size, field),
        }
    }
}
