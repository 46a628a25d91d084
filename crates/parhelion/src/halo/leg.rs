//! [`Leg`]: what goes to or comes from one peer in one exchange, all fields together, as lists ready to be copied.

use std::sync::Arc;

use parhelion_comm::layout::{combine, copy};
use parhelion_comm::{ElementType, Kernel, Layout};

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
    /// Tells it from every other buffer of this rank, those of the past included (`Memory::id`).
    pub id: u64,
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

/// One piece of a leg.
pub(super) struct Part {
    pub(super) field: usize,
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
}

/// A copy between this rank's own buffers.
pub(super) struct Inner {
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
    let mut legs: Vec<Leg> = peers.into_iter().map(|peer| Leg { peer, bytes: 0, parts: Vec::new() }).collect();
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
    legs
}

impl Leg {
    fn add(&mut self, field: usize, first_buffer: usize, size: usize, piece: &Piece) {
        self.parts.push(Part {
            field,
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

    /// Copies the leg's elements out of the buffers into `message`.
    ///
    /// # Safety
    /// `message` is writable for [`Leg::bytes`]; the buffers are those of the exchange, and nobody writes what is read.
    pub(super) unsafe fn pack(&self, buffers: &[Buffer], message: *mut u8) {
        for part in &self.parts {
            // SAFETY: the plan was checked: the layout lies inside the buffer; the piece inside the message.
            unsafe {
                copy(buffers[part.buffer].ptr, &part.layout, message.add(part.offset), &part.packed, part.size);
            }
        }
    }

    /// Lands a packed message in the buffers.
    ///
    /// # Safety
    /// `message` is readable for [`Leg::bytes`]; the buffers are those of the exchange, and nobody uses what is written.
    pub(super) unsafe fn unpack(&self, message: *const u8, buffers: &[Buffer], landing: Landing<'_>) {
        for part in &self.parts {
            // SAFETY: as in `pack`, the other way round.
            unsafe {
                let (from, to) = (message.add(part.offset), buffers[part.buffer].ptr);
                land(from, &part.packed, to, &part.layout, part.size, part.field, landing);
            }
        }
    }
}

/// The copies between this rank's own buffers.
pub(super) fn inner(fields: &[Field]) -> Vec<Inner> {
    let (firsts, _) = first_buffers(fields);
    let copies = |(field, f): (usize, &Field)| {
        let (first, size) = (firsts[field], f.element.size);
        let own = |c: &LocalCopy| Inner {
            field,
            from_buffer: first + c.from_patch,
            from: c.from.clone(),
            to_buffer: first + c.to_patch,
            to: c.to.clone(),
            size,
        };
        f.plan.local().iter().map(own).collect::<Vec<_>>()
    };
    fields.iter().enumerate().flat_map(copies).collect()
}

impl Inner {
    /// Copies it.
    ///
    /// # Safety
    /// The buffers are those of the exchange; nobody writes what is read, or uses what is written.
    pub(super) unsafe fn land(&self, buffers: &[Buffer], landing: Landing<'_>) {
        let (from, to) = (buffers[self.from_buffer].ptr, buffers[self.to_buffer].ptr);
        // SAFETY: the plan was checked: both layouts lie inside their buffers, and no element read is written.
        unsafe { land(from, &self.from, to, &self.to, self.size, self.field, landing) };
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
    landing: Landing<'_>,
) {
    match landing {
        // SAFETY: the caller's promise.
        Landing::Replace => unsafe { copy(src, from, dst, to, size) },
        // SAFETY: the caller's promise.
        Landing::Combine(kernels) => unsafe { combine(src, from, dst, to, &kernels[field]) },
    }
}
