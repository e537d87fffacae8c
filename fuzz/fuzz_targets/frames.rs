#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rustyray_ipc::fuzzing::frames(data));
