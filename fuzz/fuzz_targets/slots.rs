#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rustyray_store::fuzzing::slots(data));
