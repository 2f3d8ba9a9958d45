//! What `-f` and `--profile` name: files, folders, links, pipes, streams. Starts processes, writes
//! files.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{brief, report, scan, scan_in};

fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": {} })
}

/// A folder with these files; each pod in it has no containers and breaks nothing at baseline.
fn folder(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, pod(file).to_string()).unwrap();
    }
    folder
}

fn sources(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let run = scan_in(folder, &[arguments, &["-o", "json"]].concat(), b"");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = report["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| result["source"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_folder_is_read_in_order_and_whole() {
    let folder = folder(&[
        "m/b.yaml",
        "m/a.json",
        "m/c.yml",
        "m/B.yaml",
        "m/b/z.yaml",
        "m/x.YAML",
        "m/y.txt",
        "m/.yaml",
        "m/.git/h.yaml",
    ]);
    let expected = [
        "m/.git/h.yaml#1",
        "m/B.yaml#1",
        "m/a.json#1",
        "m/b/z.yaml#1",
        "m/b.yaml#1",
        "m/c.yml#1",
    ];
    assert_eq!(sources(folder.path(), &["-f", "m"]), expected);
    let dotted = expected.map(|source| format!("./{source}"));
    assert_eq!(sources(folder.path(), &["-f", "./m/"]), dotted);
}

#[test]
fn inputs_keep_their_order() {
    let folder = folder(&["z.yaml", "a/1.yaml", "odd.txt"]);
    let inputs = [
        "-f",
        "z.yaml",
        "--filename",
        "a",
        "-f",
        "odd.txt",
        "-f",
        "z.yaml",
    ];
    let expected = ["z.yaml#1", "a/1.yaml#1", "odd.txt#1", "z.yaml#1"];
    assert_eq!(sources(folder.path(), &inputs), expected);
}

#[test]
fn many_files_keep_their_order() {
    let names: Vec<_> = (0..500)
        .map(|number| format!("m/{number:03}.yaml"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let folder = folder(&names);
    let expected: Vec<_> = names.iter().map(|name| format!("{name}#1")).collect();
    assert_eq!(sources(folder.path(), &["-f", "m"]), expected);
}

#[test]
fn links_neither_loop_nor_lead_out() {
    let folder = folder(&["m/real.yaml", "outside/secret.yaml", "outside.yaml"]);
    let inside = |name: &str| folder.path().join("m").join(name);
    symlink("..", inside("loop")).unwrap();
    symlink("../outside", inside("away.yaml")).unwrap();
    symlink("../outside.yaml", inside("linked.yaml")).unwrap();
    let run = scan_in(folder.path(), &["-f", "m", "-o", "json"], b"");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let names: Vec<_> = ["results", "skipped"]
        .map(|list| {
            report[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["source"].clone())
                .collect::<Vec<_>>()
        })
        .concat();
    assert_eq!(
        names,
        ["m/linked.yaml#1", "m/real.yaml#1", "m/away.yaml", "m/loop"]
    );
    assert_eq!(
        report["skipped"][1]["reason"],
        "a symbolic link to a folder, which is not followed"
    );
    // What is named is followed.
    symlink("m", folder.path().join("link")).unwrap();
    assert_eq!(
        sources(folder.path(), &["-f", "link"]),
        ["link/linked.yaml#1", "link/real.yaml#1"]
    );
}

#[test]
fn what_is_no_file_is_an_error_and_not_a_wait() {
    let folder = folder(&["m/good.yaml"]);
    symlink("nowhere", folder.path().join("m/broken.yaml")).unwrap();
    let _socket = UnixListener::bind(folder.path().join("m/socket.yaml")).unwrap();
    let fifo = folder.path().join("m/fifo.yaml");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let run = scan_in(folder.path(), &["-f", "m"], b"");
    assert_eq!(run.code, Some(2));
    assert_eq!(
        run.stderr,
        "error: m/broken.yaml: failed to read: No such file or directory (os error 2)\n\
         error: m/fifo.yaml: not a regular file\n\
         error: m/socket.yaml: not a regular file\n"
    );
    assert!(run.stdout.contains("m/good.yaml#1"));
}

#[test]
fn nothing_to_read_is_an_error() {
    let folder = folder(&["m/notes.txt", "good.yaml"]);
    fs::write(folder.path().join("empty.yaml"), "# nothing\n---\n").unwrap();
    let cases = [
        (
            "nowhere.yaml",
            "error: nowhere.yaml: failed to read: No such file or directory (os error 2)\n",
        ),
        (
            "m",
            "error: m: no .yaml, .yml or .json file in this folder\n",
        ),
        ("empty.yaml", "error: empty.yaml: no document in it\n"),
        ("-", "error: -: no document in it\n"),
    ];
    for (input, stderr) in cases {
        let run = scan_in(folder.path(), &["-f", "good.yaml", "-f", input], b"");
        assert_eq!((run.code, run.stderr.as_str()), (Some(2), stderr));
        assert!(
            run.stdout.contains("good.yaml#1"),
            "{input}: the other file is read"
        );
    }
}

#[test]
fn what_is_no_manifest_is_skipped_only_where_nobody_named_it() {
    for file in ["shop/values.yaml", "shop/jobs/patch.yml"] {
        let run = scan(&["-f", file], b"");
        assert_eq!(run.code, Some(2), "{file}: {run:?}");
    }
}

#[test]
fn documents_are_counted_as_they_stand() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| pod(name).to_string());
    let cases = [
        (format!("{a}\n---\n{b}\n"), vec!["1 a", "2 b"]),
        (format!("---\n{a}\n---\n{b}\n---\n"), vec!["1 a", "2 b"]),
        (
            format!("# comment\n---\n{a}\n---\n# empty\n---\n{b}\n"),
            vec!["1 a", "3 b"],
        ),
        (
            format!("--- # comment\n{a}\n--- # comment\n{b}\n...\n"),
            vec!["1 a", "2 b"],
        ),
        (format!("--- {a}\n---\t{b}\n"), vec!["1 a", "2 b"]),
        (format!("---\r\n{a}\r\n---\r\n{b}\r\n"), vec!["1 a", "2 b"]),
        (
            format!("kind: Pod\napiVersion: v1\nmetadata: {{name: a}}\nspec: {{}}\n...\n{b}\n"),
            vec!["1 a", "2 b"],
        ),
        (
            format!("{a}{b}\n{c}\n---\n{d}"),
            vec!["1 a", "2 b", "3 c", "4 d"],
        ),
        (
            "{kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {}}".to_owned(),
            vec!["1 a"],
        ),
        (
            format!(
                "metadata:\n  name: a\n  note: |\n    ---\n    {b}\nkind: Pod\napiVersion: v1\nspec: {{}}\n"
            ),
            vec!["1 a"],
        ),
    ];
    for (stdin, want) in cases {
        let (run, report) = report(&stdin);
        let want: Vec<_> = want.iter().map(|one| format!("{one} restricted")).collect();
        assert_eq!(brief(&report["results"], "level"), want, "{stdin}");
        assert_ne!(run.code, Some(2), "{stdin}");
    }
}

#[test]
fn lists_are_taken_apart() {
    let untyped = json!({ "metadata": { "name": "u" }, "spec": {} });
    let list = |api_version: &str, kind: &str, items: Value| json!({ "apiVersion": api_version, "kind": kind, "items": items });
    let cases = [
        list("v1", "List", json!([pod("a"), pod("b")])),
        list("v1", "PodList", json!([untyped, pod("b")])),
        list(
            "v1",
            "List",
            json!([list("v1", "List", json!([pod("a")])), pod("b")]),
        ),
        list(
            "config.kubernetes.io/v1",
            "ResourceList",
            json!([pod("a"), pod("b")]),
        ),
        list("example.com/v1", "Bundle", json!([pod("a"), pod("b")])),
    ];
    for list in cases {
        for text in [list.to_string(), serde_saphyr::to_string(&list).unwrap()] {
            let (run, report) = report(&text);
            assert_eq!(
                report["results"].as_array().unwrap().len(),
                2,
                "{text}: {run:?}"
            );
            assert!(
                report["results"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|one| one["source"] == "-#1")
            );
        }
    }
    let (run, report) = report(list("v1", "List", json!([untyped, 5, pod("b")])).to_string());
    assert_eq!(run.code, Some(2));
    let reasons = brief(&report["skipped"], "reason");
    assert_eq!(
        reasons,
        ["1 u no apiVersion and no kind", "1  not an object"]
    );
    assert_eq!(brief(&report["results"], "kind"), ["1 b Pod"]);
}

#[test]
fn the_result_of_one_object_is_exactly_this() {
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": { "generateName": "db-", "namespace": "data" },
        "spec": { "template": { "spec": {
            "hostPID": true,
            "containers": [{ "name": "db" }, { "name": "backup", "securityContext": { "privileged": true } }],
        }}},
    });
    let arguments = [
        "-f",
        "-",
        "-o",
        "json",
        "--level",
        "baseline",
        "--version",
        "v1.30",
    ];
    let run = scan(&arguments, manifest.to_string().as_bytes());
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let namespaces = json!({ "id": "hostNamespaces", "reason": "host namespaces", "detail": "hostPID=true", "containers": [] });
    let privileged = json!({ "id": "privileged", "reason": "privileged",
        "detail": "container \"backup\" must not set securityContext.privileged=true", "containers": ["backup"] });
    assert_eq!(
        report,
        json!({
            "results": [{
                "source": "-#1", "kind": "StatefulSet", "namespace": "data", "name": "db-",
                "level": "baseline", "version": "v1.30", "allowed": false,
                "reason": "host namespaces, privileged",
                "detail": "host namespaces (hostPID=true), privileged (container \"backup\" must not set securityContext.privileged=true)",
                "checks": [namespaces, privileged],
            }],
            "skipped": [],
            "summary": { "allowed": 0, "forbidden": 1, "skipped": 0, "unreadable": 0 },
        })
    );
}

fn profile(pod_security: &Value) -> String {
    json!({ "apiVersion": "podfence.dev/v1alpha1", "kind": "PolicyProfile",
        "metadata": { "name": "p" }, "spec": { "podSecurity": pod_security } })
    .to_string()
}

#[test]
fn a_profile_says_what_to_judge_by() {
    let pair = |level: &str| json!({ "level": level, "version": "v1.30" });
    let both = format!(
        "{}\n---\n{}",
        profile(&json!({ "warn": pair("baseline") })),
        profile(&json!({ "warn": pair("baseline") }))
    );
    let cases = [
        (
            profile(&json!({ "enforce": { "level": "baseline" }, "audit": pair("restricted") })),
            "baseline:latest: ",
        ),
        (
            profile(&json!({ "audit": pair("baseline"), "warn": pair("restricted") })),
            "baseline:v1.30: ",
        ),
        (
            profile(&json!({ "warn": pair("restricted") })),
            "restricted:v1.30: ",
        ),
        (
            format!(
                "{}\n---\n{}",
                pod("other"),
                profile(&json!({ "enforce": pair("privileged") }))
            ),
            "privileged:v1.30: ",
        ),
        (
            profile(&json!({})),
            "error: profile.yaml: spec.podSecurity must set at least one of enforce, audit and warn\n",
        ),
        (
            profile(&json!({ "enforce": { "level": "strict" } })),
            "error: profile.yaml: invalid PolicyProfile: spec.podSecurity.enforce.level: ",
        ),
        (
            profile(&json!({ "enforce": { "level": "baseline", "version": "1.30" } })),
            "error: profile.yaml: invalid PolicyProfile: spec.podSecurity.enforce.version: ",
        ),
        (
            pod("other").to_string(),
            "error: profile.yaml: 0 objects of kind PolicyProfile, where there must be one\n",
        ),
        (
            both,
            "error: profile.yaml: 2 objects of kind PolicyProfile, where there must be one\n",
        ),
        ("a: [".to_owned(), "error: profile.yaml: line 1: "),
    ];
    let folder = folder(&["m/a.yaml"]);
    for (profile, want) in cases {
        fs::write(folder.path().join("profile.yaml"), &profile).unwrap();
        let run = scan_in(
            folder.path(),
            &["-f", "m", "--profile", "profile.yaml"],
            b"",
        );
        if want.starts_with("error") {
            assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{profile}");
            assert!(run.stderr.starts_with(want), "{}", run.stderr);
        } else {
            let last = run.stdout.lines().last().unwrap();
            assert!(last.starts_with(want), "{profile}: {run:?}");
        }
    }
    let run = scan_in(
        folder.path(),
        &["-f", "m", "--profile", "nowhere.yaml"],
        b"",
    );
    assert_eq!(
        run.stderr,
        "error: nowhere.yaml: failed to read: No such file or directory (os error 2)\n"
    );
}

#[test]
fn wrong_usage_is_explained() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "--filename <FILE|DIR|->"),
        (
            &["-f", "x", "--level", "strict"],
            "must be one of privileged, baseline, restricted",
        ),
        (
            &["-f", "x", "--version", "1.30"],
            "must be \"latest\" or \"v1.x\"",
        ),
        (
            &["-f", "x", "--profile", "p", "--level", "baseline"],
            "cannot be used with",
        ),
        (
            &["-f", "x", "-o", "xml"],
            "possible values: table, wide, json, yaml",
        ),
        (
            &["-f", "-", "-f", "-"],
            "standard input can be read only once",
        ),
    ];
    for (arguments, want) in cases {
        let run = scan(arguments, b"");
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(run.stderr.contains(want), "{}", run.stderr);
    }
    let help = scan(&["--help"], b"");
    assert_eq!(help.code, Some(0));
    assert!(
        help.stdout.contains("kubectl podfence scan -f deploy/"),
        "{}",
        help.stdout
    );
}

#[test]
fn a_reader_that_has_enough_changes_nothing() {
    let folder = folder(&["a.yaml"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podfence"))
        .args(["scan", "-f", "-", "--level", "privileged"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads what it is about to write, and only then is there something to scan.
    drop(child.stdout.take());
    serde_json::to_writer(child.stdin.take().unwrap(), &pod("a")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
