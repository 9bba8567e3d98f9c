//! The programs of `bins/`: each is `smolring` under its own name.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const SMOLRING: &str = env!("CARGO_BIN_EXE_smolring");

/// All programs but smolring, and where they are.
fn programs() -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("bins")).unwrap();
    let names =
        files.map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    let names = names.filter(|name| !["smolring", "launch"].contains(&name.as_str()));
    let place = |name: String| (name.clone(), Path::new(SMOLRING).with_file_name(name));
    names.map(place).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_says_its_own_name_and_is_a_command_of_smolring() {
    let programs = programs();
    assert_eq!(programs.len(), 12);
    let help = text(&Command::new(SMOLRING).arg("--help").output().unwrap().stdout);
    for (name, program) in programs {
        let version = Command::new(&program).arg("--version").output().unwrap();
        assert_eq!(text(&version.stdout), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        assert!(version.status.success() && help.contains(&format!("  {name} ")), "{name}");
        let shown = text(&Command::new(&program).arg("--help").output().unwrap().stdout);
        assert!(shown.starts_with(&format!("Usage: {name} ")), "{shown}");
        let wrong = Command::new(&program).arg("--no-such-option").output().unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{name}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_has_the_name_of_its_program() {
    let program = Path::new(SMOLRING).with_file_name("hello-server");
    let mut child =
        Command::new(program).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let name = fs::read_to_string(format!("/proc/{}/comm", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((name.unwrap().trim(), line.is_empty()), ("hello-server", false));
}

#[test]
fn one_without_smolring_says_so_and_finds_it_on_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("ring-node");
    // Not a link: a program is looked for beside its file.
    fs::copy(Path::new(SMOLRING).with_file_name("ring-node"), &alone).unwrap();
    let run = |path: &Path| -> Output {
        // Another thread may have a copy of the open file for a moment, between its fork and its exec.
        loop {
            match Command::new(&alone).arg("--version").env("PATH", path).output() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                output => return output.unwrap(),
            }
        }
    };
    let lost = run(folder.path());
    assert_eq!((lost.status.code(), lost.stdout.len()), (Some(127), 0));
    let said = text(&lost.stderr);
    assert!(said.starts_with("ring-node: there is no program smolring"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let found = run(Path::new(SMOLRING).parent().unwrap());
    assert_eq!(text(&found.stdout), format!("ring-node {}\n", env!("CARGO_PKG_VERSION")));
}

/// What `smolring` prints and says with these arguments, and its exit code.
fn smolring(args: &[&str]) -> (String, String, i32) {
    crate::http_tools::run(SMOLRING, args)
}

#[test]
fn install_makes_a_link_for_each_command_and_leaves_what_is_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let in_the_way = folder.path().join("ring-node");
    fs::write(&in_the_way, "mine").unwrap();
    let count = crate::up::applets().len();
    let links = || fs::read_dir(folder.path()).unwrap().count() - 1;
    let (out, _, code) = smolring(&["install", "--dry-run", place]);
    assert!(out.starts_with(&format!("{} links to ", count - 1)) && out.contains("to be made"));
    assert_eq!((code, links()), (1, 0));
    let (_, said, code) = smolring(&["install", place]);
    assert!(said.contains("/ring-node: there is something else of this name"), "{said}");
    assert_eq!((code, said.lines().count(), links()), (1, 1, count - 1));
    assert_eq!(fs::read_to_string(&in_the_way).unwrap(), "mine");
    fs::remove_file(&in_the_way).unwrap();
    // A link of an earlier install.
    symlink("/nowhere/smolring", &in_the_way).unwrap();
    let (out, said, code) = smolring(&["install", place]);
    assert!(
        out.starts_with("1 links to ") && out.ends_with(&format!("{} were there\n", count - 1))
    );
    assert_eq!((said.as_str(), code), ("", 0));
    for name in crate::up::applets() {
        let version = Command::new(folder.path().join(&name)).arg("--version").output().unwrap();
        assert_eq!(text(&version.stdout), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
    }
    let (_, said, code) = smolring(&["install", "/nowhere"]);
    assert!(said.contains("cannot make links in /nowhere: ") && said.lines().count() == 1);
    assert_eq!(code, 1);
}

#[test]
fn links_beside_the_program_have_no_path() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("smolring");
    fs::hard_link(SMOLRING, &program).or_else(|_| fs::copy(SMOLRING, &program).map(drop)).unwrap();
    let (_, said, code) = crate::http_tools::run(
        program.to_str().unwrap(),
        &["install", folder.path().to_str().unwrap()],
    );
    assert_eq!((said.as_str(), code), ("", 0));
    assert_eq!(fs::read_link(folder.path().join("ring-client")).unwrap(), Path::new("smolring"));
}
