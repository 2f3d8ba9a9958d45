//! What is broken, hostile or odd: never a pass, and never in the way of the rest. Starts
//! processes.

// A table of many rows is one thing.
#![allow(clippy::too_many_lines)]

use std::fmt::Write as _;

use crate::command::{brief, report, scan};

/// A pod that every level allows.
const GOOD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good"}, "spec": {
    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{"name": "c", "securityContext": {
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}"#;

/// The same in block style, with room for fields of the specification at its end.
const GOOD_YAML: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: good
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: c
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

fn pod_with(fields: &str) -> String {
    format!("{GOOD_YAML}  {fields}\n")
}

/// Nested in a part of a pod that no rule reads.
fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    GOOD.replacen(
        "\"name\": \"good\"",
        &format!("\"name\": \"good\", \"x\": {open}{close}"),
        1,
    )
}

#[test]
fn what_cannot_be_read_is_named_and_stops_nothing() {
    let mut laughs = "a: &0 [lol, lol]\n".to_owned();
    for level in 1..40 {
        let last = level - 1;
        let _ = writeln!(laughs, "b{level}: &{level} [*{last}, *{last}, *{last}]");
    }
    let anchors = (0..200).fold(String::new(), |text, number| {
        text + &format!("&n{number} [")
    });
    let long = format!("apiVersion: v1\nkind: Pod\nnote: {}\n", "x".repeat(3 << 20));
    let containers = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"spec\": {{\"containers\": [{}{{}}]}}}}",
        "{},".repeat(10_000)
    );
    let anchored_depth = {
        let mut text = "a0: &0 []\n".to_owned();
        for level in 1..300 {
            let _ = writeln!(text, "a{level}: &{level} [*{}]", level - 1);
        }
        text
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("syntax", "a: [1\n".into(), "line "),
        ("tab", "a:\n\tb: 1\n".into(), "line "),
        ("scalar", "just text".into(), "not an object"),
        (
            "list",
            "- apiVersion: v1\n  kind: Pod\n".into(),
            "not an object",
        ),
        (
            "no type",
            "spec: {hostNetwork: true}".into(),
            "no apiVersion and no kind",
        ),
        ("no kind", "apiVersion: v1".into(), "kind: missing"),
        ("no apiVersion", "kind: Pod".into(), "apiVersion: missing"),
        (
            "type of kind",
            "apiVersion: v1\nkind: [Pod]\n".into(),
            "kind: invalid type: ",
        ),
        (
            "no spec",
            "apiVersion: v1\nkind: Pod\n".into(),
            "spec: missing",
        ),
        (
            "flag as text",
            pod_with("hostNetwork: 'true'"),
            "spec.hostNetwork: invalid type: string \"true\", expected true or false",
        ),
        (
            "flag as number",
            pod_with("hostPID: 1"),
            "spec.hostPID: invalid type: ",
        ),
        (
            "text as flag",
            pod_with("volumes: [{name: yes}]"),
            "spec.volumes[0].name: invalid type: boolean `true`, expected a string",
        ),
        (
            "list as map",
            pod_with("initContainers: {}"),
            "spec.initContainers: invalid type: map, expected a list",
        ),
        (
            "user too large",
            pod_with("ephemeralContainers: [{name: d, securityContext: {runAsUser: 1e19}}]"),
            "spec.ephemeralContainers[0].securityContext.runAsUser: ",
        ),
        (
            "no number",
            pod_with("ephemeralContainers: [{name: d, securityContext: {runAsUser: .nan}}]"),
            "line 10: spec.ephemeralContainers[0].securityContext.runAsUser: NaN has no form in JSON",
        ),
        (
            "name twice",
            pod_with("initContainers: [{name: c}]"),
            "spec.containers[0].name: \"c\" is the name of another container as well",
        ),
        (
            "key twice",
            pod_with("hostNetwork: true\n  hostNetwork: false"),
            "line 11: spec: duplicate key \"hostNetwork\"",
        ),
        (
            "unread key twice",
            "apiVersion: v1\nkind: Secret\ndata: {a: x, a: y}\n".into(),
            "line 3: data: duplicate key \"a\"",
        ),
        (
            "key twice in JSON",
            GOOD.replace(
                "\"runAsNonRoot\": true",
                "\"runAsNonRoot\": false, \"runAsNonRoot\": true",
            ),
            "spec.securityContext: duplicate field `runAsNonRoot`",
        ),
        (
            "null key",
            "apiVersion: v1\nkind: Pod\n~: 1\n".into(),
            "line 3: a key is null",
        ),
        (
            "key of a mapping",
            "? {a: b}\n: 1\n".into(),
            "a key is a list or a mapping",
        ),
        (
            "merge of text",
            "<<: text\n".into(),
            "line 1: a merge key takes a mapping or a list of mappings",
        ),
        ("unknown alias", "a: *nowhere\n".into(), "line 1: "),
        (
            "alias in itself",
            "a: &a [*a]\n".into(),
            "line 1: a[0]: the alias stands for what it is itself a part of",
        ),
        (
            "billion laughs",
            laughs,
            "anchors and aliases repeat more than 3145728 bytes",
        ),
        (
            "anchors in anchors",
            format!("a: {}{}{}", anchors, "x".repeat(100_000), "]".repeat(200)),
            "anchors and aliases repeat more than 3145728 bytes",
        ),
        (
            "items of a pod",
            GOOD.replacen('{', "{\"items\": [], ", 1),
            "items: a Pod has none; kubectl would apply them in its place",
        ),
        (
            "hidden key",
            "a: {?b : 1}\n".into(),
            "line 1: a: a question mark, colon or tag needs a space behind it",
        ),
        (
            "hidden end of a key",
            "a: {<<: {b: 1}, b :}\n".into(),
            "line 1: a: a question mark, colon or tag needs a space behind it",
        ),
        (
            "hidden key after a tag",
            "a: {!x,y b: 1}\n".into(),
            "line 1: a: a question mark, colon or tag needs a space behind it",
        ),
        (
            "hidden end of an anchor",
            "a: &x:y 1\n".into(),
            "line 1: \"x:y\" is no name of an anchor",
        ),
        (
            "aliases as nesting",
            anchored_depth,
            "nested deeper than 256 levels",
        ),
        (
            "deep lists",
            format!("a: {}", "[".repeat(5_000)),
            "line 1: ",
        ),
        (
            "deep mappings",
            (0..5_000).fold(String::new(), |text, depth| {
                text + &" ".repeat(depth) + "a:\n"
            }),
            "line ",
        ),
        (
            "deep JSON",
            nested(10_001),
            "nested deeper than 10000 levels",
        ),
        (
            "broken JSON",
            "{\"apiVersion\": \"v1\",, \"kind\": \"Pod\"}".into(),
            "invalid JSON: ",
        ),
        (
            "JSON cut short",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\"".into(),
            "invalid JSON: EOF",
        ),
        (
            "too long",
            long,
            "bytes are more than the 3145728 of the largest object",
        ),
        (
            "many containers",
            containers,
            "spec.containers: more than 10000 entries",
        ),
        (
            "NUL",
            "apiVersion: v1\nkind: Pod\nspec: \0\n".into(),
            "line 3: ",
        ),
        (
            "old version",
            "apiVersion: apps/v1beta2\nkind: Deployment\n".into(),
            "\"apps/v1beta2\" of Deployment is no longer served: write \"apps/v1\"",
        ),
        (
            "lists in lists",
            format!(
                "{}{GOOD}{}",
                "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [".repeat(6),
                "]}".repeat(6)
            ),
            "lists nested deeper than 4 levels",
        ),
        (
            "no template",
            "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: {}}\n".into(),
            "spec.jobTemplate.spec.template: missing",
        ),
    ];
    for (name, hostile, want) in cases {
        let stdin = format!("---\n{GOOD}\n---\n{hostile}\n---\n{GOOD_YAML}");
        let (run, report) = report(stdin);
        assert_eq!(run.code, Some(2), "{name}: {report}");
        assert_eq!(
            brief(&report["results"], "allowed"),
            ["1 good true", "3 good true"],
            "{name}"
        );
        let [skipped] = report["skipped"].as_array().unwrap().as_slice() else {
            panic!("{name}: {report}");
        };
        assert_eq!(
            (&skipped["source"], &skipped["unreadable"]),
            (&"-#2".into(), &true.into())
        );
        let reason = skipped["reason"].as_str().unwrap();
        // The lines of documents are counted from the file's beginning; each here from its own.
        let lines_before = GOOD.lines().count() + 2;
        let reason = match reason
            .strip_prefix("line ")
            .and_then(|rest| rest.split_once(": "))
        {
            Some((line, rest)) => {
                format!(
                    "line {}: {rest}",
                    line.parse::<usize>().unwrap() - lines_before
                )
            }
            None => reason.to_owned(),
        };
        assert!(reason.contains(want), "{name}: {reason}");
        assert!(
            run.stderr.starts_with("error: -#2: "),
            "{name}: {}",
            run.stderr
        );
    }
}

#[test]
fn invalid_utf8_stays_in_its_document() {
    let mut stdin = format!("{GOOD_YAML}---\nkind: ").into_bytes();
    stdin.extend(b"\xff\xfe\n---\n");
    stdin.extend(GOOD.as_bytes());
    let (run, report) = report(stdin);
    assert_eq!(run.code, Some(2));
    assert_eq!(
        brief(&report["results"], "allowed"),
        ["1 good true", "3 good true"]
    );
    let offset = GOOD_YAML.len() + "---\nkind: ".len();
    assert_eq!(
        report["skipped"][0]["reason"],
        format!("invalid UTF-8 at byte {offset}")
    );
}

#[test]
fn what_cannot_be_read_outweighs_a_violation() {
    let bad = pod_with("hostNetwork: true");
    assert_eq!(report(&bad).0.code, Some(1));
    assert_eq!(report(format!("{bad}---\n[\n")).0.code, Some(2));
}

#[test]
fn yaml_means_what_it_means_to_kubernetes() {
    let allowed: [&str; 0] = [];
    let context = |field: &str| {
        pod_with(&format!(
            "initContainers: [{{name: i, securityContext: {{allowPrivilegeEscalation: no, capabilities: {{drop: [ALL]}}, {field}}}}}]"
        ))
    };
    let cases = [
        (context(""), allowed.to_vec()),
        (context("privileged: no"), vec![]),
        (context("privileged: off"), vec![]),
        (context("privileged: ~"), vec![]),
        (context("privileged: yes"), vec!["privileged"]),
        (context("privileged: On"), vec!["privileged"]),
        (context("privileged: y"), vec!["privileged"]),
        (context("privileged: !!bool 'yes'"), vec!["privileged"]),
        (context("runAsUser: 1"), vec![]),
        (context("runAsUser: 0"), vec!["runAsUser"]),
        (context("runAsUser: 0x0"), vec!["runAsUser"]),
        (context("runAsUser: 0b0"), vec!["runAsUser"]),
        (context("runAsUser: 00"), vec!["runAsUser"]),
        (context("runAsUser: -0"), vec!["runAsUser"]),
        (context("runAsUser: 0.0"), vec!["runAsUser"]),
        (context("runAsUser: 0e5"), vec!["runAsUser"]),
        (context("runAsUser: 0_0"), vec!["runAsUser"]),
        (
            context("seccompProfile: {type: !!binary VW5jb25maW5lZA==}"),
            vec!["seccompProfile_restricted"],
        ),
        (context("<<: {privileged: true}"), vec!["privileged"]),
        (context("<<: {privileged: true}, privileged: false"), vec![]),
        (context("! <<: {privileged: true}"), vec!["privileged"]),
        (
            format!(
                "# a comment\u{2028}{}",
                pod_with("hostIPC: yes # so\u{85}  hostPID: no")
            ),
            vec!["hostIPC"],
        ),
        (
            pod_with("hostIPC: no # so\u{2029}  hostPID: yes"),
            vec!["hostPID"],
        ),
        // What kubectl's decoder makes of it, against the letter of the standard.
        (
            context("privileged: false, <<: {privileged: true}"),
            vec!["privileged"],
        ),
        (
            context("<<: [{privileged: true}, {privileged: false}]"),
            vec!["privileged"],
        ),
        (context("'<<': {privileged: true}"), vec![]),
        (pod_with("volumes: [{name: v}]"), vec![]),
        (pod_with("volumes: [{name: v, emptyDir: }]"), vec![]),
        (
            pod_with("volumes: [{name: v, quantum: {}}]"),
            vec!["restrictedVolumes"],
        ),
        (
            pod_with("volumes: [{name: v, hostPath: {path: /}}]"),
            vec!["restrictedVolumes"],
        ),
        (pod_with("hostnetwork: true"), vec![]),
        (
            pod_with("hostNetwork: true").replace('\n', "\r\n"),
            vec!["hostNetwork"],
        ),
        (
            format!("\u{feff}{}", pod_with("hostIPC: yes")),
            vec!["hostIPC"],
        ),
        (
            format!(
                "%YAML 1.1\n# directives\n---\n{}...\n",
                pod_with("hostIPC: yes")
            ),
            vec!["hostIPC"],
        ),
    ];
    for (manifest, want) in cases {
        let (run, report) = report(&manifest);
        let result = &report["results"][0];
        let checks = result["checks"]
            .as_array()
            .unwrap_or_else(|| panic!("{manifest}\n{run:?}"));
        let found: Vec<_> = checks
            .iter()
            .map(|check| check["id"].as_str().unwrap())
            .collect();
        // The three of the host are one check.
        let want: Vec<_> = want
            .into_iter()
            .map(|check| {
                if check.starts_with("host") {
                    "hostNamespaces"
                } else {
                    check
                }
            })
            .collect();
        assert_eq!(found, want, "{manifest}");
        assert_eq!(run.code, Some(i32::from(!want.is_empty())), "{manifest}");
    }
}

#[test]
fn other_kinds_are_skipped_with_their_reason() {
    let cases = [
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n",
            "v1 Service is none of the kinds whose pods Pod Security looks at",
        ),
        (
            "apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: x}\nspec: 5\n",
            "example.com/v1 Deployment is none of the kinds whose pods Pod Security looks at",
        ),
        (
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n",
            "apiextensions.k8s.io/v1 CustomResourceDefinition is none of the kinds whose pods Pod Security looks at",
        ),
        (
            "apiVersion: example.com/v1\nkind: AllowList\nmetadata: {name: x}\nitems: 5\n",
            "example.com/v1 AllowList is none of the kinds whose pods Pod Security looks at",
        ),
        (
            "apiVersion: v1\nkind: List\nmetadata: {name: x}\nitems: []\n",
            "an empty list",
        ),
        (
            "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\nspec: {}\n",
            "it has no template and makes no pods",
        ),
    ];
    for (manifest, reason) in cases {
        let (run, report) = report(manifest);
        assert_eq!(run.code, Some(0), "{report}");
        assert_eq!(
            brief(&report["skipped"], "reason"),
            [format!("1 x {reason}")]
        );
        assert_eq!(report["skipped"][0]["unreadable"], false);
    }
}

#[test]
fn names_cannot_write_to_the_terminal() {
    let manifest = pod_with("hostIPC: yes").replace("name: good", r#"name: "\e[2J\nSOURCE""#);
    for output in ["table", "wide"] {
        let run = scan(&["-f", "-", "-o", output], manifest.as_bytes());
        assert!(run.stdout.contains(r"\u{1b}[2J\nSOURCE"), "{}", run.stdout);
        assert_eq!(run.stdout.lines().count(), 3, "{}", run.stdout);
    }
    let run = scan(
        &["-f", "-"],
        b"apiVersion: v1\nkind: Pod\nspec: {\"\\e\": 1, \"\\e\": 2}\n",
    );
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}
