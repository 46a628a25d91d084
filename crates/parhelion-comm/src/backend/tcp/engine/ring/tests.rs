use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::backend::arena::Arena;

impl Writer {
    /// As a writer that cannot be trusted.
    pub(in super::super) fn tell_tail(&self, tail: u64) {
        self.memory.header().publish(tail);
    }
}

impl Reader {
    /// As a reader that cannot be trusted.
    pub(in super::super) fn tell_head(&self, head: u64) {
        self.memory.header().release(head);
    }
}

fn ring() -> (Writer, Reader) {
    let arena = PeerArena::find(&Arena::of_process().unwrap().identity().unwrap()).unwrap();
    let writer = Writer::new().unwrap();
    // SAFETY: made above, and this is the first time.
    let reader = unsafe { Reader::new(&arena, writer.token()) }.unwrap();
    (writer, reader)
}

fn take(reader: &mut Reader, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    // SAFETY: a buffer of that many bytes.
    unsafe { reader.take(bytes.as_mut_ptr(), n) };
    bytes
}

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize, usize),
    Take(usize),
    Skip(usize),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![4 => 0..200usize, 1 => 0..CAPACITY, 1 => 0..2 * CAPACITY];
    prop_oneof![
        3 => (len(), len(), 0..100usize).prop_map(|(a, b, c)| Step::Write(a, b, c)),
        3 => len().prop_map(Step::Take),
        1 => len().prop_map(Step::Skip),
        2 => (1..CAPACITY).prop_map(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_ring_is_a_queue_of_bytes_with_a_limit(steps in prop::collection::vec(step(), 0..60)) {
        let (mut writer, mut reader) = ring();
        let (mut queue, mut unreleased, mut next) = (VecDeque::new(), 0, 0u8);
        for step in steps {
            match step {
                Step::Write(a, b, c) => {
                    let bytes: Vec<u8> = (0..a + b + c).map(|i| next.wrapping_add((i * 7) as u8)).collect();
                    next = next.wrapping_add(77);
                    let n = writer.write([&bytes[..a], &bytes[a..a + b], &bytes[a + b..]]).unwrap();
                    prop_assert_eq!(n, bytes.len().min(CAPACITY - queue.len() - unreleased));
                    prop_assert!(!writer.take_wake());
                    queue.extend(&bytes[..n]);
                }
                Step::Take(n) => {
                    prop_assert_eq!(reader.available(), Ok(queue.len()));
                    let n = n.min(queue.len());
                    prop_assert!(take(&mut reader, n) == queue.drain(..n).collect::<Vec<_>>());
                    unreleased += n;
                }
                Step::Skip(n) => {
                    let n = n.min(reader.available().unwrap());
                    // SAFETY: it goes nowhere.
                    unsafe { reader.take(std::ptr::null_mut(), n) };
                    queue.drain(..n);
                    unreleased += n;
                }
                Step::Release(least) => {
                    prop_assert!(!reader.release(least));
                    if unreleased >= least {
                        unreleased = 0;
                    }
                }
            }
            prop_assert_eq!(reader.has(queue.len()), true);
            prop_assert_eq!(reader.has(queue.len() + 1), false);
        }
    }

    #[test]
    fn counts_that_cannot_be_are_found_and_nothing_is_touched(count: u64, near in -3i64..3, written in 0usize..1000) {
        for count in [count, near as u64, (CAPACITY as i64 + near) as u64, (written as i64 + near) as u64] {
            let (mut writer, mut reader) = ring();
            writer.write([&vec![1; written], &[], &[]]).unwrap();
            reader.available().unwrap();
            // As the reader's process might: it has read more than was written, or less than it had.
            reader.tell_head(count);
            let room = writer.room(CAPACITY + 1);
            prop_assert_eq!(room, if count <= written as u64 { Ok(CAPACITY - written + count as usize) } else { Err(Corrupt) });
            // As the writer's: it has written less than it had, or more than there is room for.
            writer.tell_tail(count);
            let is_possible = (written as u64..=CAPACITY as u64).contains(&count);
            prop_assert_eq!(reader.available(), if is_possible { Ok(count as usize) } else { Err(Corrupt) });
        }
    }
}

#[test]
fn each_end_wakes_the_other_once() {
    let (mut writer, mut reader) = ring();
    let write = |writer: &mut Writer| writer.write([&[1; 100], &[], &[]]).map(|_| writer.take_wake());
    assert_eq!(write(&mut writer), Ok(false));
    reader.will_sleep();
    assert_eq!(write(&mut writer), Ok(true));
    assert_eq!(write(&mut writer), Ok(false));
    reader.will_sleep();
    reader.is_awake();
    assert_eq!(write(&mut writer), Ok(false));
    writer.will_sleep();
    assert_eq!(reader.available(), Ok(400));
    take(&mut reader, 400);
    // Nothing is given back.
    assert!(!reader.release(401));
    assert!(reader.release(400));
    assert!(!reader.release(0));
}

#[test]
fn two_threads_pass_bytes_through_a_ring_under_load() {
    const TOTAL: usize = 64 << 20;
    let (mut writer, mut reader) = ring();
    let byte = |i: usize| (i.wrapping_mul(0x9E37_79B9) >> 13) as u8;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut done = 0;
            while done < TOTAL {
                let bytes: Vec<u8> = (done..TOTAL.min(done + 1 + done % 40_000)).map(byte).collect();
                let (a, b) = bytes.split_at(bytes.len() / 3);
                let n = writer.write([a, b, &[]]).unwrap();
                done += n;
                if n == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut done = 0;
        while done < TOTAL {
            let n = reader.available().unwrap().min(1 + done % 30_000);
            assert!(take(&mut reader, n).into_iter().enumerate().all(|(i, found)| found == byte(done + i)));
            done += n;
            reader.release(1000);
            if n == 0 {
                reader.release(1);
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn marks_say_what_is_lent() {
    let (writer, reader) = ring();
    assert!(writer.lend(5));
    assert!(reader.is_lent(5) && !reader.is_lent(6));
    // Another one that would have the same place.
    assert!(!writer.lend(5 + MARKS as u64));
    writer.unlend(5 + MARKS as u64);
    assert!(reader.is_lent(5));
    writer.unlend(5);
    assert!(!reader.is_lent(5));
    assert!(writer.lend(5 + MARKS as u64) && reader.is_lent(5 + MARKS as u64));
    drop(writer);
    assert!(!reader.is_lent(5 + MARKS as u64));
}
