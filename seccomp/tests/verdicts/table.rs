//! Every verdict, and every rule between them, as tables of facts.

use std::time::Duration;

use podfence_seccomp::evidence::{Fact, Gap, RunState, Source};
use podfence_seccomp::{
    Affected, Basis, Certainty, Doubt, Errno, Exempt, Ground, Judgement, Readiness, Terms,
    UnknownProfile, Verdict, WorkloadJudgement,
};

use super::facts::{
    CONFINED, CRASHING, ENOSYS, EPERM, NEWUSER, Question, Run, UNCONFINED, ago, ambiguous, call,
    denial, denial_of, elsewhere, filter, health, loss, ready, seen_by, signatures, start, stretch,
    well,
};
use podfence_seccomp::evidence::Outcome::{Success, Unrecorded};

type Row = (&'static str, Vec<Fact>, Verdict);

fn assert_verdicts(question: &Question<'_>, rows: Vec<Row>) {
    let filter = filter();
    for (name, facts, want) in rows {
        let got = question.ask(&filter, &facts);
        assert_eq!(got.verdict, want, "{name}: {got:#?}");
    }
}

fn whole_day() -> Vec<Fact> {
    vec![stretch(30, 0), start(29)]
}

fn with(mut facts: Vec<Fact>, more: impl IntoIterator<Item = Fact>) -> Vec<Fact> {
    facts.extend(more);
    facts
}

fn failing() -> Vec<Fact> {
    vec![health(CRASHING), health(well(UNCONFINED))]
}

#[test]
fn absence_of_evidence_is_unknown() {
    let rows = vec![
        ("nothing", vec![], Verdict::Unknown),
        ("no start", vec![stretch(30, 0)], Verdict::Unknown),
        ("no stretch", vec![start(3)], Verdict::Unknown),
        (
            "too short",
            vec![stretch(23, 0), start(22)],
            Verdict::Unknown,
        ),
        (
            "a start unseen",
            vec![stretch(30, 0), start(31)],
            Verdict::Unknown,
        ),
        (
            "two pods at once are observed once",
            vec![stretch(20, 0), stretch(20, 0), stretch(19, 1), start(19)],
            Verdict::Unknown,
        ),
        (
            "stretches add up",
            vec![stretch(40, 30), stretch(20, 7), start(35)],
            Verdict::Unknown,
        ),
        (
            "to enough",
            vec![stretch(40, 30), stretch(20, 6), start(35)],
            Verdict::NoDenialSeen,
        ),
        ("a day and a start", whole_day(), Verdict::NoDenialSeen),
        (
            "a loss in it",
            with(whole_day(), [loss(10)]),
            Verdict::Unknown,
        ),
        (
            "a day and a start since the loss",
            vec![stretch(60, 0), loss(30), start(50), start(20)],
            Verdict::NoDenialSeen,
        ),
        (
            "a day, and the start before the loss",
            vec![stretch(60, 0), loss(30), start(50)],
            Verdict::Unknown,
        ),
        (
            "names of harmless calls prove nothing",
            vec![seen_by(Source::Spo, "read", None, Unrecorded)],
            Verdict::Unknown,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn what_would_be_denied_counts_by_what_is_lost() {
    let observed = |fact| with(whole_day(), [fact]);
    let alone = |fact| vec![fact];
    let rows = vec![
        ("lost", alone(call("keyctl", 0, Success)), Verdict::AtRisk),
        (
            "lost, in spite of a day",
            observed(call("keyctl", 0, Success)),
            Verdict::AtRisk,
        ),
        (
            "without its result",
            alone(call("keyctl", 0, Unrecorded)),
            Verdict::AtRisk,
        ),
        (
            "logged",
            alone(seen_by(Source::AuditLog, "clone", None, Unrecorded)),
            Verdict::AtRisk,
        ),
        (
            "recorded by name",
            alone(seen_by(
                Source::InspektorGadget,
                "unshare",
                None,
                Unrecorded,
            )),
            Verdict::AtRisk,
        ),
        (
            "by name, and arguments decide",
            alone(seen_by(Source::Spo, "clone", None, Unrecorded)),
            Verdict::Unknown,
        ),
        (
            "ENOSYS to EPERM",
            observed(call("keyctl", 0, ENOSYS)),
            Verdict::AtRisk,
        ),
        (
            "EPERM stays",
            observed(call("mount", 0, EPERM)),
            Verdict::WouldBeDenied,
        ),
        (
            "EPERM stays, for an hour",
            alone(call("mount", 0, EPERM)),
            Verdict::Unknown,
        ),
        (
            "allowed",
            observed(call("socket", 2, Success)),
            Verdict::NoDenialSeen,
        ),
        (
            "the other family",
            observed(call("socket", 38, Success)),
            Verdict::AtRisk,
        ),
        (
            "a thread by clone3",
            observed(call("clone3", 0xf00, Success)),
            Verdict::NoDenialSeen,
        ),
        (
            "a namespace by clone3",
            alone(call("clone3", NEWUSER, Success)),
            Verdict::AtRisk,
        ),
        (
            "a namespace refused",
            observed(call("clone3", NEWUSER, EPERM)),
            Verdict::WouldBeDenied,
        ),
        (
            "denied",
            alone(denial("keyctl", Errno::EPERM)),
            Verdict::AtRisk,
        ),
        (
            "clone3 denied",
            observed(denial("clone3", Errno::ENOSYS)),
            Verdict::NoDenialSeen,
        ),
        (
            "its own filter's",
            observed(denial("read", Errno::EPERM)),
            Verdict::NoDenialSeen,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn the_arguments_of_a_denial_say_whose_it_is() {
    let observed = |name, first| with(whole_day(), [denial_of(name, first, Errno::EPERM)]);
    let rows = vec![
        (
            "its own filter's",
            observed("clone", 0x003d_0f00),
            Verdict::NoDenialSeen,
        ),
        ("the profile's", observed("clone", NEWUSER), Verdict::AtRisk),
        (
            "another family",
            observed("socket", 2),
            Verdict::NoDenialSeen,
        ),
        ("that family", observed("socket", 38), Verdict::AtRisk),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn an_ambiguous_denial_is_a_risk_and_no_cause() {
    let denied = || ambiguous("unshare", NEWUSER);
    let bad = Run {
        state: RunState::Ended,
        ..CONFINED
    };
    let bubblewrap = signatures("", &["bwrap"]);
    let rows = || {
        vec![
            ("alone", vec![denied()], Verdict::AtRisk),
            (
                "in spite of a day",
                with(whole_day(), [denied()]),
                Verdict::AtRisk,
            ),
            (
                "what the profile lets through is its own filter's",
                with(whole_day(), [ambiguous("clone", 0x003d_0f00)]),
                Verdict::NoDenialSeen,
            ),
            (
                "fatal elsewhere",
                vec![denied(), elsewhere(&["unshare"])],
                Verdict::AtRisk,
            ),
            (
                "it runs well all the same",
                vec![denied(), health(well(CONFINED))],
                Verdict::Passing,
            ),
            (
                "one bad run beside it is not enough",
                vec![denied(), health(bad), health(well(UNCONFINED))],
                Verdict::AtRisk,
            ),
            (
                "a crash loop is",
                with(failing(), [denied()]),
                Verdict::Failing,
            ),
        ]
    };
    assert_verdicts(&Question::default(), rows());
    // Nor does it make a known breakage fatal.
    let suspecting = Question {
        signatures: &bubblewrap,
        ..Question::default()
    };
    assert_verdicts(&suspecting, rows());

    let shown = |facts: Vec<Fact>| {
        let got = Question::default().ask(&filter(), &facts);
        (got.basis, named(&got))
    };
    let user = Some("CLONE_NEWUSER".to_owned());
    let found = ("unshare".to_owned(), user.clone(), Certainty::Ambiguous);
    let inferred = Some(Basis::Inferred);
    assert_eq!(shown(vec![denied()]), (None, vec![found.clone()]));
    let failing = shown(with(failing(), [denied()]));
    assert_eq!(failing, (inferred, vec![found.clone()]));
    let passing = shown(vec![denied(), health(well(CONFINED))]);
    assert_eq!(passing, (inferred, vec![found]));
    // The same call where nothing else can have denied it.
    let certain = denial_of("unshare", NEWUSER, Errno::EPERM);
    let found = ("unshare".to_owned(), user, Certainty::Denied);
    assert_eq!(shown(vec![certain]), (None, vec![found]));
}

#[test]
fn a_loss_that_is_known_to_be_fatal_would_fail() {
    let at_risk = || call("unshare", NEWUSER, Success);
    let old = Run {
        template: "web-0",
        ..CRASHING
    };
    let old_twin = well(Run {
        template: "web-0",
        ..UNCONFINED
    });
    let rows = vec![
        ("elsewhere alone", vec![elsewhere(&[])], Verdict::Unknown),
        (
            "and lost here",
            vec![elsewhere(&[]), at_risk()],
            Verdict::WouldFail,
        ),
        (
            "the same call",
            vec![elsewhere(&["unshare"]), at_risk()],
            Verdict::WouldFail,
        ),
        (
            "another call",
            vec![elsewhere(&["keyctl"]), at_risk()],
            Verdict::AtRisk,
        ),
        (
            "an earlier template failed",
            vec![health(old), health(old_twin), at_risk()],
            Verdict::WouldFail,
        ),
        (
            "an earlier template, nothing lost",
            vec![health(old), health(old_twin)],
            Verdict::Unknown,
        ),
        (
            "it passes here",
            vec![elsewhere(&[]), at_risk(), health(well(CONFINED))],
            Verdict::Passing,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn signatures_raise_suspicion_and_say_what_is_fatal() {
    let bubblewrap = signatures("", &["bwrap", "true"]);
    let mysql = signatures("mysql:8", &[]);
    assert_eq!((bubblewrap.len(), mysql.len()), (1, 1));
    let asking = |signatures| Question {
        signatures,
        ..Question::default()
    };
    let rows = vec![
        ("nothing observed", vec![], Verdict::Suspected),
        (
            "not enough observed",
            vec![stretch(3, 0)],
            Verdict::Suspected,
        ),
        (
            "enough, and nothing lost",
            whole_day(),
            Verdict::NoDenialSeen,
        ),
        (
            "its call",
            vec![call("unshare", NEWUSER, Success)],
            Verdict::WouldFail,
        ),
        (
            "its call denied",
            vec![denial("unshare", Errno::EPERM)],
            Verdict::WouldFail,
        ),
        (
            "its call for less",
            vec![call("unshare", 0x0002_0000, Success)],
            Verdict::AtRisk,
        ),
        (
            "another call",
            vec![call("keyctl", 0, Success)],
            Verdict::AtRisk,
        ),
        ("it passes", vec![health(well(CONFINED))], Verdict::Passing),
    ];
    assert_verdicts(&asking(&bubblewrap), rows);
    let rows = vec![
        ("tolerated", vec![], Verdict::Unknown),
        (
            "tolerated, and lost",
            vec![call("mbind", 0, Success)],
            Verdict::AtRisk,
        ),
    ];
    assert_verdicts(&asking(&mysql), rows);
}

fn twin() -> Fact {
    health(well(UNCONFINED))
}

fn denied() -> Fact {
    denial("unshare", Errno::EPERM)
}

#[test]
fn failing_needs_a_twin_that_is_well() {
    let crashing = || health(CRASHING);
    let earlier = || {
        health(well(Run {
            seen: (90, 80),
            ..UNCONFINED
        }))
    };
    let bad_twin = || {
        health(Run {
            on: UNCONFINED.on,
            pod: "web-off-2",
            ..CRASHING
        })
    };
    let of_another_template = health(well(Run {
        template: "web-0",
        ..UNCONFINED
    }));
    let rows = vec![
        ("no twin", vec![crashing()], Verdict::Unknown),
        ("it is well", vec![crashing(), twin()], Verdict::Failing),
        ("it was well", vec![crashing(), earlier()], Verdict::Failing),
        (
            "it fails too",
            vec![crashing(), bad_twin()],
            Verdict::Unknown,
        ),
        (
            "it fails too now",
            vec![crashing(), earlier(), bad_twin()],
            Verdict::Unknown,
        ),
        (
            "one does not",
            vec![crashing(), twin(), bad_twin()],
            Verdict::Failing,
        ),
        (
            "no twin, and a denial",
            vec![crashing(), denied()],
            Verdict::AtRisk,
        ),
        (
            "of another template",
            vec![crashing(), of_another_template],
            Verdict::Unknown,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn without_a_denial_failing_needs_a_crash_loop() {
    let starting = |failures| {
        health(Run {
            failures,
            ..CONFINED
        })
    };
    let slow = |failures| {
        health(Run {
            failures,
            seen: (9, 1),
            ..CONFINED
        })
    };
    let now_and_then = Run {
        state: ready(1),
        ..CRASHING
    };
    let of_a_job = |pod| {
        health(Run {
            pod,
            state: RunState::Ended,
            ..CONFINED
        })
    };
    let seen_again = health(Run {
        failures: 1,
        seen: (8, 1),
        ..CONFINED
    });
    let with_zero = health(Run {
        code: 0,
        ..CRASHING
    });
    let rows = vec![
        ("one end", vec![slow(1), twin()], Verdict::Unknown),
        (
            "one end, and a denial",
            vec![slow(1), twin(), denied()],
            Verdict::Failing,
        ),
        ("never ready", vec![slow(0), twin()], Verdict::Unknown),
        (
            "never ready, and a denial",
            vec![slow(0), twin(), denied()],
            Verdict::Failing,
        ),
        (
            "it may take time",
            vec![starting(0), twin(), denied()],
            Verdict::AtRisk,
        ),
        (
            "and once more",
            vec![starting(1), twin(), denied()],
            Verdict::AtRisk,
        ),
        ("two ends", vec![starting(2), twin()], Verdict::Failing),
        ("it ends with 0", vec![with_zero, twin()], Verdict::Unknown),
        (
            "ready now and then",
            vec![health(now_and_then), twin()],
            Verdict::Failing,
        ),
        (
            "one end, seen twice",
            vec![slow(1), seen_again, twin()],
            Verdict::Unknown,
        ),
        (
            "a job ends",
            vec![of_a_job("job-1"), twin()],
            Verdict::Unknown,
        ),
        (
            "and again",
            vec![of_a_job("job-1"), of_a_job("job-2"), twin()],
            Verdict::Failing,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn only_an_enforcing_run_that_is_well_lowers_and_failure_is_not_forgotten() {
    let passing = || {
        health(well(Run {
            pod: "web-on-2",
            ..CONFINED
        }))
    };
    let harm = || call("keyctl", 0, Success);
    let completed = Run {
        state: RunState::Completed,
        code: 0,
        ..CONFINED
    };
    let rows = vec![
        ("well", vec![passing()], Verdict::Passing),
        (
            "a container that is to end",
            vec![health(completed)],
            Verdict::Passing,
        ),
        (
            "well in spite of denials",
            vec![passing(), harm()],
            Verdict::Passing,
        ),
        (
            "a healthy twin is no pass",
            vec![health(well(UNCONFINED)), harm()],
            Verdict::AtRisk,
        ),
        (
            "a day without a loss lowers nothing",
            with(whole_day(), [harm()]),
            Verdict::AtRisk,
        ),
        ("both", with(failing(), [passing()]), Verdict::Conflicting),
        (
            "a day does not end a failure",
            with(failing(), whole_day()),
            Verdict::Failing,
        ),
        (
            "a loss does not end a pass",
            vec![passing(), loss(0)],
            Verdict::Passing,
        ),
        (
            "ready for a moment",
            vec![health(Run {
                state: ready(1),
                ..CONFINED
            })],
            Verdict::Unknown,
        ),
    ];
    assert_verdicts(&Question::default(), rows);
}

#[test]
fn facts_expire() {
    let filter = filter();
    let facts = with(failing(), [call("keyctl", 0, Success)]);
    let terms = Terms::default();
    for (days, want) in [
        (0, Verdict::Failing),
        (34, Verdict::Failing),
        (36, Verdict::Unknown),
    ] {
        let later = Question {
            now: ago(0).after(Duration::from_secs(days * 24 * 3600)),
            ..Question::default()
        };
        assert_eq!(later.ask(&filter, &facts).verdict, want, "{days} days");
    }
    // Of a stretch only what lies within the retention counts.
    let short = Question {
        terms: Terms {
            retention: Duration::from_secs(20 * 3600),
            ..terms
        },
        ..Question::default()
    };
    let got = short.ask(&filter, &[stretch(30, 0), start(1)]);
    assert_eq!(got.doubt, Some(Doubt::Evidence(Gap::TooShort)));
    assert_eq!(got.coverage.observed, Duration::from_secs(20 * 3600));
}

#[test]
fn what_is_still_to_come_was_not_observed() {
    let asked_before = Question {
        now: ago(20),
        ..Question::default()
    };
    let filter = filter();
    let got = asked_before.ask(&filter, &[stretch(30, 0), start(29)]);
    assert_eq!(got.coverage.observed, Duration::from_secs(10 * 3600));
    let got = asked_before.ask(&filter, &[call("keyctl", 0, Success)]);
    assert_eq!(
        got.verdict,
        Verdict::AtRisk,
        "harm counts whatever a clock says"
    );
}

#[test]
fn what_no_switch_changes_is_not_affected() {
    let everything = with(failing(), [call("keyctl", 0, Success)]);
    for exempt in [Exempt::ExplicitProfile, Exempt::Privileged, Exempt::Windows] {
        let question = Question {
            affected: Affected::No(exempt),
            ..Question::default()
        };
        let got = question.ask(&filter(), &everything);
        assert_eq!(
            (got.verdict, got.exempt),
            (Verdict::NotAffected, Some(exempt))
        );
        assert!(got.calls.is_empty() && got.profile.is_none());
    }
    let sandboxed = UnknownProfile::SandboxedRuntime;
    let question = Question {
        affected: Affected::Unknown(sandboxed),
        ..Question::default()
    };
    let rows = vec![
        ("good is capped", whole_day(), Verdict::Unknown),
        ("and a pass", vec![health(well(CONFINED))], Verdict::Unknown),
        ("harm is not", everything, Verdict::Failing),
    ];
    assert_verdicts(&question, rows);
    let got = question.ask(&filter(), &whole_day());
    assert_eq!(got.doubt, Some(Doubt::Profile(sandboxed)));
}

#[test]
fn doubts_have_reasons() {
    for (facts, want) in [
        (vec![], Gap::NothingObserved),
        (vec![loss(40)], Gap::Lost),
        (vec![stretch(3, 0), start(2)], Gap::TooShort),
        (vec![stretch(30, 0)], Gap::NoStart),
        (vec![stretch(30, 0), start(29), loss(4)], Gap::Lost),
    ] {
        let got = Question::default().ask(&filter(), &facts);
        assert_eq!(got.doubt, Some(Doubt::Evidence(want)), "{facts:?}");
    }
}

/// What a judgement says of its calls: name, argument, how it is known.
fn named(judgement: &Judgement) -> Vec<(String, Option<String>, Certainty)> {
    let calls = judgement.calls.iter();
    calls
        .map(|call| (call.name.to_string(), call.argument(), call.certainty))
        .collect()
}

#[test]
fn a_call_is_named_as_the_cause_only_if_its_denial_was_seen() {
    let filter = filter();
    let question = Question::default();
    let harm = || call("keyctl", 0, Success);
    let row = |name: &str, argument: Option<&str>, certainty| {
        (name.to_owned(), argument.map(str::to_owned), certainty)
    };

    let inferred = question.ask(&filter, &with(failing(), [harm()]));
    assert_eq!(
        (inferred.verdict, inferred.basis),
        (Verdict::Failing, Some(Basis::Inferred))
    );
    let lost = row("keyctl", None, Certainty::Observed);
    assert_eq!(named(&inferred), std::slice::from_ref(&lost));
    assert_eq!(
        inferred.grounds,
        [Ground::Calls(Source::Observer), Ground::Health].into()
    );
    assert_eq!(named(&question.ask(&filter, &failing())), []);
    let nodes =
        |nodes: &std::collections::BTreeSet<Box<str>>| nodes.iter().cloned().collect::<Vec<_>>();
    assert_eq!(nodes(&inferred.failing_on), ["on".into()]);
    assert_eq!(nodes(&inferred.healthy_twin_on), ["off".into()]);

    let observed = question.ask(&filter, &with(failing(), [harm(), denied()]));
    assert_eq!(
        (observed.verdict, observed.basis),
        (Verdict::Failing, Some(Basis::Observed))
    );
    assert_eq!(named(&observed), [row("unshare", None, Certainty::Denied)]);
    let watched = Ground::Calls(Source::Observer);
    assert_eq!(observed.grounds, [watched, Ground::Health].into());

    let bubblewrap = signatures("", &["bwrap"]);
    let suspecting = Question {
        signatures: &bubblewrap,
        ..Question::default()
    };
    let watched = suspecting.ask(&filter, &with(failing(), [harm()]));
    assert_eq!(named(&watched), [lost]);
    let suspected = suspecting.ask(&filter, &failing());
    let user = Some("CLONE_NEWUSER");
    assert_eq!(
        named(&suspected),
        [
            row("clone", user, Certainty::Suspected),
            row("unshare", user, Certainty::Suspected)
        ]
    );
    assert_eq!(
        suspected.grounds,
        [Ground::Health, Ground::Signature].into()
    );

    let passing = question.ask(&filter, &[health(well(CONFINED)), harm()]);
    assert_eq!(
        (passing.basis, named(&passing)),
        (Some(Basis::Inferred), vec![])
    );
    let tolerating = question.ask(&filter, &[health(well(CONFINED)), denied()]);
    assert_eq!(tolerating.basis, Some(Basis::Observed));
    assert_eq!(
        named(&tolerating),
        [row("unshare", None, Certainty::Denied)]
    );
}

#[test]
fn a_verdict_says_on_what_it_rests() {
    let observer = Ground::Calls(Source::Observer);
    let harm = || call("unshare", NEWUSER, Success);
    let bubblewrap = signatures("", &["bwrap"]);
    for (facts, known, want) in [
        (vec![], &[][..], vec![]),
        (whole_day(), &[], vec![observer]),
        (vec![harm()], &[], vec![observer]),
        (
            vec![harm(), elsewhere(&[])],
            &[],
            vec![observer, Ground::Elsewhere],
        ),
        (vec![harm()], &bubblewrap, vec![observer, Ground::Signature]),
        (vec![], &bubblewrap, vec![Ground::Signature]),
        (failing(), &[], vec![Ground::Health]),
        (
            vec![seen_by(Source::Spo, "keyctl", None, Unrecorded)],
            &[],
            vec![Ground::Calls(Source::Spo)],
        ),
    ] {
        let question = Question {
            signatures: known,
            ..Question::default()
        };
        let got = question.ask(&filter(), &facts);
        let grounds: Vec<_> = got.grounds.iter().copied().collect();
        assert_eq!(grounds, want, "{} {facts:?}", got.verdict);
    }
}

#[test]
fn findings_of_one_call_are_one() {
    let spo = seen_by(Source::Spo, "keyctl", Some(0), Unrecorded);
    let facts = [
        call("keyctl", 0, Success),
        spo,
        call("clone3", NEWUSER, Success),
    ];
    let got = Question::default().ask(&filter(), &facts);
    let names: Vec<_> = got.calls.iter().map(|call| &*call.name).collect();
    assert_eq!(names, ["clone", "keyctl"], "clone3 is judged as clone");
    let keyctl = got.calls.last().expect("two calls");
    assert_eq!(keyctl.today, Success);
    assert_eq!(keyctl.sources, [Source::Observer, Source::Spo].into());
    assert_eq!(got.since, Some(ago(3)));
    assert_eq!(got.profile.as_deref(), Some(&*super::facts::key().profile));
    // Two records of one call: the one that says more is what it comes to today.
    let facts = [
        call("clone", NEWUSER, Unrecorded),
        call("clone3", NEWUSER, Success),
    ];
    let got = Question::default().ask(&filter(), &facts);
    let today: Vec<_> = got.calls.iter().map(|call| call.today).collect();
    assert_eq!(today, [Success]);
}

#[test]
fn a_workload_is_its_worst_container_and_its_weakest_coverage() {
    let filter = filter();
    let ask = |facts: &[Fact]| Question::default().ask(&filter, facts);
    let exempt = Question {
        affected: Affected::No(Exempt::Privileged),
        ..Question::default()
    };
    let containers = [
        (
            "b",
            ask(&[call("keyctl", 0, Success), stretch(40, 0), start(39)]),
        ),
        ("a", ask(&[call("keyctl", 0, Success), stretch(9, 0)])),
        ("init", ask(&whole_day())),
        ("helper", exempt.ask(&filter, &[])),
    ];
    let of = |names: &[&str]| {
        let chosen = containers.iter().filter(|(name, _)| names.contains(name));
        WorkloadJudgement::of(chosen.map(|(name, judgement)| ((*name).into(), judgement.clone())))
    };
    assert_eq!(of(&[]), None);
    let all = of(&["a", "b", "init", "helper"]).expect("containers");
    assert_eq!((all.verdict, &*all.container), (Verdict::AtRisk, "a"));
    let coverage = all.coverage.expect("some are affected");
    assert_eq!(
        (coverage.observed, coverage.starts),
        (Duration::from_secs(9 * 3600), 0)
    );
    let good = of(&["init", "helper"]).expect("containers");
    assert_eq!(
        (good.verdict, &*good.container),
        (Verdict::NoDenialSeen, "init")
    );
    assert_eq!(of(&["helper"]).expect("a container").coverage, None);
    // The same container on two architectures, about which there is not the same to say.
    let twice = [ask(&[stretch(9, 0)]), ask(&[loss(3)])].map(|judgement| ("c".into(), judgement));
    let turned = twice.clone().into_iter().rev();
    assert_eq!(
        WorkloadJudgement::of(twice.clone()),
        WorkloadJudgement::of(turned)
    );
}

#[test]
fn verdicts_are_ordered_worst_first_and_say_whether_to_switch() {
    assert!(Verdict::ALL.is_sorted());
    let readiness = Verdict::ALL.map(Verdict::readiness);
    assert!(readiness.is_sorted(), "a worse verdict is never readier");
    let count = |wanted| {
        readiness
            .iter()
            .filter(|readiness| **readiness == wanted)
            .count()
    };
    assert_eq!(
        [Readiness::NotReady, Readiness::Unknown, Readiness::Ready].map(count),
        [3, 3, 4]
    );
}
