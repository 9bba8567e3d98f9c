//! `--json`: what a script reads.

use std::fs;

use serde_json::Value;

use super::{done, nobody, ring_client, run, text};
use crate::cluster::Ring;

fn object(bytes: &[u8]) -> Value {
    assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1, "one document, one line");
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn files_are_told_as_objects() {
    let ring = Ring::start(2, &["--max-file-bytes", "1KiB"]);
    let node = ring.addresses()[0].to_string();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("in")).unwrap();
    fs::write(at("in/a \"b\""), "hello").unwrap();
    fs::write(at("in/large"), [0; 2000]).unwrap();
    let put = run(&["put", &at("in"), "--json", "--node", &node]);
    assert_eq!(put.status.code(), Some(1));
    let lines = text(put.stdout);
    let line = |name: &str| {
        let lines = lines.lines().map(|line| object(format!("{line}\n").as_bytes()));
        lines.into_iter().find(|line| line["name"] == name).unwrap()
    };
    let (kept, large) = (line("a \"b\""), line("large"));
    assert_eq!((kept["outcome"].as_str(), kept["copies"].as_u64()), (Some("put"), Some(2)));
    assert_eq!((large["outcome"].as_str(), large["status"].as_u64()), (Some("failed"), Some(413)));
    assert!(text(put.stderr).contains("413"));

    let list = object(&done(&["list", "--json", "--node", &node]));
    assert_eq!(list["files"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["files"][0]["name"], "a \"b\"");
    assert_eq!(
        (&list["files"][0]["bytes"], &list["files"][0]["version"]),
        (&5.into(), &kept["version"])
    );

    let told = object(&done(&["get", "a \"b\"", "--json", "--node", &node]));
    assert_eq!((&told["bytes"], &told["version"]), (&5.into(), &kept["version"]));
    assert_eq!(told["blake3"], blake3::hash(b"hello").to_hex().as_str());
    assert!(told["path"].is_null());
    let args = ["get", "a \"b\"", "--json", "-o", &at("out"), "--node", &node];
    assert_eq!(object(&done(&args))["path"], at("out"));
    assert_eq!(fs::read(at("out")).unwrap(), b"hello");

    for (code, args) in [
        (2, &["get", "a", "--json", "-o", "-", "--node", &node][..]),
        (3, &["get", "nothing", "--json", "--node", &node]),
        (69, &["list", "--json", "--node", &nobody()]),
    ] {
        super::refused(code, args);
    }
}

#[test]
fn members_are_told_as_objects() {
    let ring = Ring::start(2, &[]);
    let addresses = ring.addresses();
    let node = addresses[0].to_string();
    let told = object(&done(&["ring", "--json", "--node", &node]));
    let members = told["members"].as_array().unwrap();
    for (member, label) in members.iter().zip(["WS1", "WS2"]) {
        assert_eq!(
            (&member["state"], &member["label"]),
            (&"alive".into(), &label.into()),
            "{told}"
        );
    }
    let own = members.iter().find(|member| member["self"] == true).unwrap();
    assert_eq!(own["address"], node);

    let info = object(&done(&["info", "--json", "--node", &node]));
    assert_eq!((&info["node"], &info["members"]), (&node.as_str().into(), &2.into()), "{info}");
    assert!(info["ready"] == true && info["digest"].is_string() && info["version"].is_string());

    let status = object(&done(&["status", "--json", "--node", &node]));
    assert!(status["well"] == true && status["problems"] == Value::Array(vec![]), "{status}");
    assert_eq!(status["members"].as_array().unwrap().len(), 2);
    for member in status["members"].as_array().unwrap() {
        assert!(member["answers"] == true && member["ready"] == true && member["files"] == 0);
    }
    let output =
        ring_client(&["status", "--json"]).env("SMOLRING_NODE", nobody()).output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}
