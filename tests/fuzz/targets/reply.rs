//! What a node answers: see `rollgate::transport::garbled`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| rollgate::transport::garbled::hears(bytes));
