//! The forms of a report, each as it is printed for one folder of manifests. Starts processes.

use std::fs;

use serde_json::Value;

use crate::command::{fixtures, scan};

fn expected(file: &str) -> String {
    fs::read_to_string(fixtures().join(file)).unwrap()
}

#[test]
fn each_form_is_printed_as_recorded() {
    for output in ["table", "wide", "json", "yaml"] {
        let run = scan(&["-f", "shop", "-o", output], b"");
        assert_eq!(run.stdout, expected(&format!("shop.{output}")), "{output}");
        assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{output}");
    }
    assert_eq!(scan(&["-f", "shop"], b"").stdout, expected("shop.table"));
}

#[test]
fn yaml_says_what_json_says() {
    let json: Value = serde_json::from_str(&expected("shop.json")).unwrap();
    let yaml: Value = serde_saphyr::from_str(&expected("shop.yaml")).unwrap();
    assert_eq!(yaml, json);
}

#[test]
fn level_and_version_decide() {
    let cases = [
        ("privileged", "latest", 0, 0),
        ("baseline", "latest", 1, 1),
        ("baseline", "v1.0", 1, 1),
        ("restricted", "v1.0", 1, 2),
        ("restricted", "v1.34", 1, 2),
    ];
    for (level, version, code, forbidden) in cases {
        let arguments = [
            "-f",
            "shop",
            "-o",
            "json",
            "--level",
            level,
            "--version",
            version,
        ];
        let run = scan(&arguments, b"");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(run.code, Some(code), "{level} {version}");
        assert_eq!(
            report["summary"]["forbidden"], forbidden,
            "{level} {version}"
        );
        for result in report["results"].as_array().unwrap() {
            assert_eq!(
                (&result["level"], &result["version"]),
                (&level.into(), &version.into())
            );
        }
    }
}

#[test]
fn rules_that_are_not_known_yet_are_said_to_be() {
    let run = scan(&["-f", "shop", "--version", "v1.99"], b"");
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stderr,
        "warning: the rules of v1.99 are not known here; those of v1.37 are used\n"
    );
    assert!(
        run.stdout
            .ends_with("restricted:v1.99: 2 allowed, 2 forbidden, 6 skipped, 0 unreadable\n")
    );
}
