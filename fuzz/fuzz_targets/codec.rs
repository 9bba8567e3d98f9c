#![no_main]

#[path = "../../tests/it/fuzz/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each target runs one of the bodies")]
mod bodies;
#[path = "../../tests/it/world/mod.rs"]
#[allow(dead_code, unused_imports, reason = "fuzzing needs only a part of it")]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::codec(data));
