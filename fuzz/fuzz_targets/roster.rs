#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parhelion_comm::fuzz::roster(bytes));
