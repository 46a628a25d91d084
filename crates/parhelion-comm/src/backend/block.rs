//! [`Block`]: zeroed memory of one rank, plain or of the process's [`Arena`]. The bytes below [`Memory`](crate::Memory).
//! [`Reach`]: how a rank gets at the blocks of a peer. What is below [`PeerMemory`](crate::PeerMemory).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use super::arena::{Arena, PeerArena};

/// What every block is aligned to: a cache line, and a vector register of the widest kind.
pub(crate) const ALIGN: usize = 64;

/// Memory of at least this size begins on a huge page, of which a strided copy needs fewer entries in the processor's table
/// of translations.
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed bytes, freed when dropped.
///
/// Whoever has it alone may use them; a peer that knows the token may read them at times that both have agreed on.
pub(crate) struct Block {
    ptr: NonNull<u8>,
    token: Option<u64>,
    home: Home,
}

enum Home {
    /// Of the allocator, at `base`, which is not always aligned.
    Heap { base: NonNull<u8>, layout: Layout },
    /// Of an arena, with its real size there.
    Arena { arena: Arc<Arena>, at: usize, bytes: usize },
}

// SAFETY: memory belongs to the process, and the block to whoever has it.
unsafe impl Send for Block {}
// SAFETY: a shared reference gives the address and the token only.
unsafe impl Sync for Block {}

impl Block {
    /// Plain memory; its token is its address if `tokens`, else it has none.
    pub(crate) fn plain(bytes: usize, align: usize, tokens: bool) -> Block {
        let huge = bytes >= HUGE_PAGE;
        let align = align.max(if huge { HUGE_PAGE } else { ALIGN });
        // An aligned allocation is cleared by hand; an unaligned one of this size comes from the system as pages that are
        // zero and take up nothing until they are written. So it is the block that is aligned, inside of it.
        let size = bytes.max(1).checked_add(align).filter(|size| isize::try_from(*size).is_ok());
        let layout = Layout::from_size_align(size.expect("capacity overflow"), 16).expect("capacity overflow");
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: at most `align` further, and the allocation is as much longer.
        let ptr = unsafe { base.add(base.addr().get().next_multiple_of(align) - base.addr().get()) };
        if huge {
            // SAFETY: this part of the allocation.
            unsafe { prefer_huge_pages(ptr, bytes) };
        }
        let token = tokens.then(|| ptr.as_ptr().expose_provenance() as u64);
        Block { ptr, token, home: Home::Heap { base, layout } }
    }

    /// Memory of the process's arena; plain memory without a token where that has no room or does not exist.
    pub(crate) fn shared(bytes: usize, align: usize) -> Block {
        Self::of_arena(Arena::of_process(), bytes, align)
    }

    fn of_arena(arena: Option<&Arc<Arena>>, bytes: usize, align: usize) -> Block {
        match arena.and_then(|arena| Some((arena, arena.take(bytes, align.max(ALIGN))?))) {
            Some((arena, (at, ptr, bytes))) => {
                Block { ptr, token: Some(at as u64), home: Home::Arena { arena: arena.clone(), at, bytes } }
            }
            None => Block::plain(bytes, align, false),
        }
    }

    /// Where it begins.
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// What a peer finds it by.
    pub(crate) fn token(&self) -> Option<u64> {
        self.token
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match &self.home {
            // SAFETY: allocated with this layout, once.
            Home::Heap { base, layout } => unsafe { dealloc(base.as_ptr(), *layout) },
            // SAFETY: taken from this arena with this place and size, and freed once; the block was its only user.
            Home::Arena { arena, at, bytes } => unsafe { arena.give(*at, *bytes) },
        }
    }
}

/// Asks the system for huge pages where whole ones lie in the memory. It may refuse, and nothing depends on it.
///
/// # Safety
/// The `bytes` bytes from `ptr`, which is aligned to [`HUGE_PAGE`], are allocated.
unsafe fn prefer_huge_pages(ptr: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        let whole = bytes / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: the caller's promise; what lies in the pages stays as it is.
        let _ = unsafe { rustix::mm::madvise(ptr.as_ptr().cast(), whole, rustix::mm::Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (ptr, bytes);
}

/// How this rank finds blocks of a peer by their tokens.
#[derive(Clone)]
pub(crate) enum Reach {
    /// The peer is a thread of this process: tokens are addresses.
    Here,
    /// In the peer's arena, which is mapped here.
    Mapped(Arc<PeerArena>),
}

impl Reach {
    /// Where `bytes` bytes of the block with this token are, or none if they cannot be there.
    #[inline]
    pub(crate) fn resolve(&self, token: u64, bytes: usize) -> Option<*const u8> {
        match self {
            Reach::Here => {
                let at = usize::try_from(token).ok().filter(|at| *at >= ALIGN)?;
                at.checked_add(bytes).filter(|end| isize::try_from(*end).is_ok())?;
                Some(std::ptr::with_exposed_provenance(at))
            }
            Reach::Mapped(arena) => arena.resolve(token, bytes).map(<*mut u8>::cast_const),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[allow(clippy::mut_from_ref, reason = "the memory is not the block itself")]
    fn bytes(block: &Block, len: usize) -> &mut [u8] {
        // SAFETY: each test has its blocks alone and asks for no more than they have.
        unsafe { std::slice::from_raw_parts_mut(block.ptr().as_ptr(), len) }
    }

    #[test]
    fn blocks_are_zero_aligned_and_apart() {
        let arena = Arc::new(Arena::new(1 << 20).unwrap());
        let sizes = [0usize, 1, 63, 64, 65, 4095, 4096, 5000, 100_000];
        for align in [1usize, 8, 64, 128, 4096] {
            for make in
                [|n, a, arena: &Arc<Arena>| Block::of_arena(Some(arena), n, a), |n, a, _: &_| Block::plain(n, a, true)]
            {
                let blocks: Vec<Block> = sizes.iter().map(|&n| make(n, align, &arena)).collect();
                for (block, &n) in blocks.iter().zip(&sizes) {
                    assert!(block.token().is_some());
                    assert_eq!(block.ptr().addr().get() % align.max(ALIGN), 0);
                    assert!(bytes(block, n).iter().all(|b| *b == 0));
                    bytes(block, n).fill(n as u8 | 1);
                }
                for (block, &n) in blocks.iter().zip(&sizes) {
                    assert!(bytes(block, n).iter().all(|b| *b == n as u8 | 1));
                }
            }
        }
    }

    #[test]
    fn large_plain_memory_begins_on_a_huge_page_and_is_zero() {
        for len in [HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE - 1] {
            let block = Block::plain(len, 8, true);
            assert_eq!(block.ptr().addr().get() % HUGE_PAGE, 0);
            assert_eq!(block.token(), Some(block.ptr().addr().get() as u64));
            assert!(bytes(&block, len).iter().all(|b| *b == 0));
            bytes(&block, len).fill(1);
        }
    }

    #[test]
    fn an_arena_without_room_gives_plain_memory_without_a_token() {
        let arena = Arc::new(Arena::new(64 << 10).unwrap());
        let large = Block::of_arena(Some(&arena), 40 << 10, 64);
        assert!(large.token().is_some());
        let plain = Block::of_arena(Some(&arena), 40 << 10, 64);
        assert_eq!(plain.token(), None);
        bytes(&plain, 40 << 10).fill(1);
        drop(large);
        assert!(Block::of_arena(Some(&arena), 40 << 10, 64).token().is_some());
    }

    #[test]
    fn freed_memory_goes_back_to_the_system_and_comes_again_as_zeros() {
        let arena = Arc::new(Arena::new(256 << 20).unwrap());
        for (count, size) in [(1usize, 64usize << 20), (16, 4 << 20), (1024, 50_000), (20_000, 1000)] {
            let mut blocks: Vec<Block> = (0..count).map(|_| Block::of_arena(Some(&arena), size, 64)).collect();
            for block in &blocks {
                assert!(bytes(block, size).iter().all(|b| *b == 0), "{size} bytes, again");
                bytes(block, size).fill(0xa5);
            }
            assert!(arena.resident() >= count * size);
            // Neither first in, first out nor last.
            while !blocks.is_empty() {
                let middle = blocks.len() / 2;
                blocks.swap_remove(middle);
            }
            assert!(arena.resident() <= 4 << 20, "{count} of {size} bytes: {} bytes are left", arena.resident());
        }
    }

    #[test]
    fn blocks_come_and_go_on_many_threads_in_any_order() {
        let arena = Arc::new(Arena::new(64 << 20).unwrap());
        let shelf = std::sync::Mutex::new(Vec::<(Block, usize, u8)>::new());
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (arena, shelf) = (&arena, &shelf);
                scope.spawn(move || {
                    let mut state = thread * 7919 + 1;
                    let mut random = move || {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        (state >> 33) as usize
                    };
                    for round in 0..2500 {
                        let size = [random() % 200, random() % 5000, random() % 300_000][random() % 3];
                        let block = Block::of_arena(Some(arena), size, 64);
                        assert!(bytes(&block, size).iter().all(|b| *b == 0), "round {round}: not zero");
                        let mark = random() as u8;
                        bytes(&block, size).fill(mark);
                        let mut shelf = shelf.lock().unwrap();
                        shelf.push((block, size, mark));
                        while shelf.len() > 64 {
                            let at = random() % shelf.len();
                            let (block, size, mark) = shelf.swap_remove(at);
                            assert!(bytes(&block, size).iter().all(|b| *b == mark), "round {round}: overwritten");
                        }
                    }
                });
            }
        });
        drop(shelf);
        assert_eq!(arena.take((64 << 20) - 4096, 4096).map(|(at, ..)| at), Some(4096), "everything came back");
    }

    #[test]
    fn the_arena_of_the_process_takes_ten_thousand_blocks() {
        let blocks: Vec<Block> = (0..10_000).map(|i| Block::shared(i * 3, 8)).collect();
        assert!(blocks.iter().all(|block| block.token().is_some()));
        let mut tokens: Vec<_> = blocks.iter().map(Block::token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), blocks.len());
    }
}
