#![no_main]

#[path = "../../tests/it/raw_http.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::raw_http(data));
