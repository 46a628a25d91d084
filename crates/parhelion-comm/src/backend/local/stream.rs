//! Copies of results: past the caches of those that are too large to stay in any, and fast ones of those in the nearest.
//!
//! An ordinary store first fetches the cache line that it writes to. Where the line will be overwritten as a whole, and be gone from
//! the caches before anybody reads it, that is a third of what a reduction moves. The C library's `memcpy` does likewise.

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod wide {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128, _mm256_loadu_si256, _mm256_storeu_si256,
    };
    use std::sync::OnceLock;

    const LINE: usize = 64;
    /// A last-level cache where the system does not tell, and the most of one that the ranks are taken to have to themselves: a larger one
    /// has many cores, and far slices.
    const USUAL: usize = 32 << 20;

    /// Copies past the caches. Dropped, it orders them before all that its thread stores from then on.
    pub(in crate::backend::local) struct Stream(());

    impl Stream {
        /// If so many bytes, read and written, are more than the caches hold.
        pub(in crate::backend::local) fn beyond_caches(bytes: usize) -> Option<Self> {
            static LAST_LEVEL: OnceLock<usize> = OnceLock::new();
            // Less than any last-level cache of a machine with several cores.
            const LITTLE: usize = 1 << 20;
            // Not `then_some`: it would make one that is not wanted, and drop it, at the price of a fence.
            (bytes >= LITTLE && bytes >= *LAST_LEVEL.get_or_init(last_level)).then(|| Stream(()))
        }

        /// # Safety
        /// As [`std::ptr::copy_nonoverlapping`].
        pub(in crate::backend::local) unsafe fn copy(&self, from: *const u8, to: *mut u8, bytes: usize) {
            let head = to.align_offset(LINE).min(bytes);
            let lines = (bytes - head) / LINE;
            // SAFETY: the head, so many whole lines and the rest are the bytes that the caller promises; the lines' place in `to` is
            // aligned.
            unsafe {
                std::ptr::copy_nonoverlapping(from, to, head);
                for at in (0..lines).map(|line| head + line * LINE) {
                    let (from, to) = (from.add(at).cast::<__m128i>(), to.add(at).cast::<__m128i>());
                    let line: [__m128i; LINE / size_of::<__m128i>()] =
                        std::array::from_fn(|i| _mm_loadu_si128(from.add(i)));
                    for (i, part) in line.into_iter().enumerate() {
                        _mm_stream_si128(to.add(i), part);
                    }
                }
                let done = head + lines * LINE;
                std::ptr::copy_nonoverlapping(from.add(done), to.add(done), bytes - done);
            }
        }
    }

    impl Drop for Stream {
        fn drop(&mut self) {
            // SAFETY: part of every x86-64 processor; only orders memory.
            unsafe { _mm_sfence() };
        }
    }

    /// Copies results that are in the nearest cache to where they likely are, too. From 4 KiB on the C library would do that with one
    /// instruction (`rep movsb`), which is slow to start.
    ///
    /// # Safety
    /// As [`std::ptr::copy_nonoverlapping`].
    #[inline]
    pub(in crate::backend::local) unsafe fn copy_near(from: *const u8, to: *mut u8, bytes: usize) {
        if bytes >= 4096 && std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what is asked for; the rest is the caller's promise.
            unsafe { copy_in_lines(from, to, bytes) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) }
        }
    }

    /// # Safety
    /// As [`std::ptr::copy_nonoverlapping`], on a processor with AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn copy_in_lines(from: *const u8, to: *mut u8, bytes: usize) {
        const STEP: usize = 2 * LINE;
        let steps = bytes / STEP;
        // SAFETY: so many whole steps and the rest are the bytes that the caller promises.
        unsafe {
            for step in 0..steps {
                let at = step * STEP;
                let (from, to) = (from.add(at).cast::<__m256i>(), to.add(at).cast::<__m256i>());
                // One by one: what is called with a closure would not be compiled for this processor.
                let (a, b) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
                let (c, d) = (_mm256_loadu_si256(from.add(2)), _mm256_loadu_si256(from.add(3)));
                _mm256_storeu_si256(to, a);
                _mm256_storeu_si256(to.add(1), b);
                _mm256_storeu_si256(to.add(2), c);
                _mm256_storeu_si256(to.add(3), d);
            }
            let done = steps * STEP;
            std::ptr::copy_nonoverlapping(from.add(done), to.add(done), bytes - done);
        }
    }

    /// Bytes of the last-level cache of this machine's first core that count.
    fn last_level() -> usize {
        let told = || {
            let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index3/size").ok()?;
            text.trim().strip_suffix('K')?.parse::<usize>().ok()?.checked_mul(1 << 10)
        };
        told().map_or(USUAL, |bytes| bytes.min(USUAL))
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;
        use crate::{BackendKind, Config, Error, Op, launch};

        proptest! {
            #[test]
            fn copies_what_it_should_and_nothing_else(
                from in 0usize..80,
                to in 0usize..80,
                bytes in prop_oneof![0usize..400, 4000usize..5000],
            ) {
                let source: Vec<u8> = (0..5100).map(|i| (i % 251) as u8).collect();
                let mut expected = vec![0xff; 5100];
                expected[to..to + bytes].copy_from_slice(&source[from..from + bytes]);
                for near in [false, true] {
                    let mut target = vec![0xff; 5100];
                    let (from, to) = (source[from..].as_ptr(), target[to..].as_mut_ptr());
                    // SAFETY: both have room for so many bytes there.
                    unsafe {
                        if near { copy_near(from, to, bytes) } else { Stream(()).copy(from, to, bytes) }
                    }
                    prop_assert_eq!(&target, &expected);
                }
            }
        }

        #[test]
        fn a_reduction_of_more_than_the_caches_hold_is_right_everywhere() {
            const RANKS: usize = 3;
            // One more than fills them, so that shares and lines do not end together; received between two that stay.
            let count = last_level() / (2 * RANKS * size_of::<u64>()) + 1;
            let config = Config::default().backend(BackendKind::Local).ranks(RANKS);
            launch(&config, |world| {
                let rank = world.rank() as u64;
                let send: Vec<u64> = (0..count as u64).map(|i| i * (rank + 1)).collect();
                for in_place in [false, true] {
                    let mut receive = vec![u64::MAX; count + 2];
                    let inside = &mut receive[1..=count];
                    if in_place {
                        inside.copy_from_slice(&send);
                        world.all_reduce_in_place(inside, Op::Sum)?;
                    } else {
                        world.all_reduce_into(&send, inside, Op::Sum)?;
                    }
                    assert!(inside.iter().enumerate().all(|(i, sum)| *sum == 6 * i as u64));
                    assert_eq!([receive[0], receive[count + 1]], [u64::MAX; 2]);
                }
                Ok::<(), Error>(())
            })
            .unwrap();
        }

        #[test]
        fn only_what_no_cache_holds_goes_past_them() {
            assert!(last_level() >= 64 << 10, "{} bytes are no last-level cache", last_level());
            assert!(Stream::beyond_caches(last_level().min(1 << 20) - 1).is_none());
            assert!(Stream::beyond_caches(usize::MAX).is_some());
        }
    }
}

/// Not here: there is no such store, or nothing to gain.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod wide {
    pub(in crate::backend::local) use std::ptr::copy_nonoverlapping as copy_near;

    pub(in crate::backend::local) enum Stream {}

    impl Stream {
        pub(in crate::backend::local) fn beyond_caches(_bytes: usize) -> Option<Self> {
            None
        }

        /// # Safety
        /// It does not exist.
        pub(in crate::backend::local) unsafe fn copy(&self, _from: *const u8, _to: *mut u8, _bytes: usize) {
            match *self {}
        }
    }
}

pub(super) use self::wide::{Stream, copy_near};
