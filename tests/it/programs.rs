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
fn the_image_has_a_link_for_every_command() {
    let dockerfile = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/Dockerfile");
    let dockerfile = fs::read_to_string(dockerfile).unwrap();
    let links = dockerfile.lines().find_map(|line| line.strip_prefix("RUN cd /usr/local/bin && "));
    let folder = tempfile::tempdir().unwrap();
    symlink(SMOLRING, folder.path().join("smolring")).unwrap();
    let shell = Command::new("sh").args(["-ec", links.unwrap()]).current_dir(&folder).status();
    assert!(shell.unwrap().success());
    let linked = fs::read_dir(folder.path()).unwrap();
    let mut linked: Vec<String> =
        linked.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    let mut commands = [crate::up::applets(), vec!["smolring".into()]].concat();
    linked.sort();
    commands.sort();
    assert_eq!(linked, commands);
    for (name, _) in programs() {
        assert!(linked.contains(&name), "{name} is not in the image");
        let version = Command::new(folder.path().join(&name)).arg("--version").output().unwrap();
        assert!(text(&version.stdout).starts_with(&format!("{name} ")), "{name}");
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
