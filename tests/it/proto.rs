//! The generated code under `src/grpc/generated` is what `proto/logging.proto` says.
//! `UPDATE_PROTO=1` writes it again.

use std::{env, fs, path::Path};

#[test]
fn the_generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compile = |has_comments| {
        let mut compiler = protox::Compiler::new([root.join("proto")]).unwrap();
        compiler.include_source_info(has_comments).open_file("logging.proto").unwrap();
        compiler
    };
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_transport(false)
        .emit_rerun_if_changed(false)
        .out_dir(out.path())
        .compile_fds(compile(true).file_descriptor_set())
        .unwrap();
    let code = fs::read(out.path().join("logging.rs")).unwrap();
    let descriptors = compile(false).encode_file_descriptor_set();
    for (name, made) in [("logging.rs", code), ("logging.protoset", descriptors)] {
        let path = root.join("src/grpc/generated").join(name);
        if env::var_os("UPDATE_PROTO").is_some() {
            fs::write(&path, &made).unwrap();
        }
        assert!(fs::read(&path).unwrap() == made, "{name} is old: run this with UPDATE_PROTO=1");
    }
}
