//! Facts, short enough to write tables of them: all of one key, hours before one moment.

use std::time::Duration;

use podfence_seccomp::evidence::{
    Arguments, Call, Confinement, Denial, Evidence, Fact, FailedElsewhere, Health, Key,
    Observation, Outcome, RunState, Sighting, Source, Start,
};
use podfence_seccomp::signature::{Appearance, Signature};
use podfence_seccomp::{
    Abi, Affected, Architecture, Container, Errno, Filter, Judgement, Loader, Moment, Profile,
    RuleSet, Runtime, Span, Subject, Terms, judge,
};
use podfence_workload::CapabilityMask;

pub(crate) const TEMPLATE: &str = "web-1";
pub(crate) const NEWUSER: u64 = 0x1000_0000;
pub(crate) const EPERM: Outcome = Outcome::Errno(Errno::EPERM);
pub(crate) const ENOSYS: Outcome = Outcome::Errno(Errno::ENOSYS);

pub(crate) fn now() -> Moment {
    Moment::from_unix_seconds(1_800_000_000)
}

pub(crate) fn ago(hours: u64) -> Moment {
    now().before(Duration::from_secs(hours * 3600))
}

pub(crate) fn container(added: &[&str]) -> Container {
    let usual = Runtime::Containerd.default_capabilities();
    Container {
        architecture: Architecture::Amd64,
        bounding: usual.union(CapabilityMask::of(added)),
        kernel: "6.18".parse().expect("a kernel"),
    }
}

pub(crate) fn rules(profile: &str) -> RuleSet {
    let profile: Profile = profile
        .parse()
        .unwrap_or_else(|error| panic!("{profile}: {error}"));
    profile.rules
}

/// What a fact is about if nothing else is said: an image under containerd 2.3.7.
pub(crate) fn key() -> Key {
    Key::of("sha256:00ff", container(&[]), &rules("containerd/2.3.7"))
}

pub(crate) fn filter() -> Filter {
    let rules = rules("containerd/2.3.7");
    Filter::load(&rules, container(&[]), Loader::default()).expect("it loads")
}

fn fact(observation: Observation) -> Fact {
    Fact {
        key: key(),
        observation,
    }
}

pub(crate) fn seen_by(source: Source, name: &str, first: Option<u64>, outcome: Outcome) -> Fact {
    let call = Call {
        name: name.into(),
        arguments: first.map_or(Arguments::UNRECORDED, |value| {
            Arguments::recorded([(0, value)])
        }),
        abi: Abi::X86_64,
        outcome,
        source,
    };
    fact(Observation::Call(call, Sighting::at(ago(3))))
}

pub(crate) fn call(name: &str, first: u64, outcome: Outcome) -> Fact {
    seen_by(Source::Observer, name, Some(first), outcome)
}

fn denied_call(name: &str, errno: Errno) -> Denial {
    Denial {
        name: name.into(),
        arguments: Arguments::UNRECORDED,
        abi: Abi::X86_64,
        errno,
        ambiguous: false,
    }
}

fn denied(denial: Denial) -> Fact {
    fact(Observation::Denial(denial, Sighting::at(ago(2))))
}

pub(crate) fn denial(name: &str, errno: Errno) -> Fact {
    denied(denied_call(name, errno))
}

/// A denial whose first argument was recorded.
pub(crate) fn denial_of(name: &str, first: u64, errno: Errno) -> Fact {
    denied(Denial {
        arguments: Arguments::recorded([(0, first)]),
        ..denied_call(name, errno)
    })
}

/// A denial that something else may have made.
pub(crate) fn ambiguous(name: &str, first: u64) -> Fact {
    denied(Denial {
        arguments: Arguments::recorded([(0, first)]),
        ambiguous: true,
        ..denied_call(name, Errno::EPERM)
    })
}

pub(crate) fn stretch(from: u64, to: u64) -> Fact {
    fact(Observation::Stretch(Span::new(ago(from), ago(to))))
}

pub(crate) fn start(hours: u64) -> Fact {
    let start = Start {
        at: ago(hours),
        pod: "web-1-a".into(),
    };
    fact(Observation::Start(start))
}

pub(crate) fn loss(hours: u64) -> Fact {
    fact(Observation::Loss(Span::new(ago(hours), ago(hours))))
}

pub(crate) fn elsewhere(calls: &[&str]) -> Fact {
    let other = FailedElsewhere {
        workload: "shop/Deployment/web".into(),
        calls: calls.iter().map(|name| (*name).into()).collect(),
    };
    fact(Observation::FailedElsewhere(
        other,
        Span::new(ago(9), ago(8)),
    ))
}

/// A run of a container in a pod, as tables write it.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) on: Confinement,
    pub(crate) template: &'static str,
    pub(crate) pod: &'static str,
    pub(crate) state: RunState,
    pub(crate) failures: u32,
    pub(crate) code: i32,
    /// Hours ago.
    pub(crate) seen: (u64, u64),
}

pub(crate) fn ready(hours: u64) -> RunState {
    RunState::Ready { since: ago(hours) }
}

pub(crate) const CONFINED: Run = Run {
    on: Confinement::RuntimeDefault,
    template: TEMPLATE,
    pod: "web-on",
    state: RunState::NotReady,
    failures: 0,
    code: 1,
    seen: (4, 1),
};

pub(crate) const UNCONFINED: Run = Run {
    on: Confinement::Unconfined,
    pod: "web-off",
    ..CONFINED
};

pub(crate) const CRASHING: Run = Run {
    failures: 3,
    ..CONFINED
};

pub(crate) fn well(run: Run) -> Run {
    Run {
        state: ready(run.seen.0),
        failures: 0,
        ..run
    }
}

pub(crate) fn health(run: Run) -> Fact {
    let health = Health {
        template: run.template.into(),
        confinement: run.on,
        pod: run.pod.into(),
        node: match run.on {
            Confinement::RuntimeDefault => "on".into(),
            Confinement::Unconfined => "off".into(),
        },
        failures: run.failures,
        exit_codes: [run.code].into(),
        state: run.state,
        started: ago(run.seen.0),
        time_to_start: Duration::from_secs(4 * 3600),
    };
    let seen = Span::new(ago(run.seen.0), ago(run.seen.1));
    fact(Observation::Health(health, seen))
}

pub(crate) fn signatures(image: &str, command: &[&str]) -> Vec<&'static Signature> {
    let all = Signature::all().expect("the data read");
    let looks = Appearance {
        image,
        command,
        added: None,
    };
    all.iter()
        .filter(|signature| signature.recognises(looks))
        .collect()
}

pub(crate) struct Question<'a> {
    pub(crate) affected: Affected,
    pub(crate) signatures: &'a [&'a Signature],
    pub(crate) now: Moment,
    pub(crate) terms: Terms,
}

impl Default for Question<'_> {
    fn default() -> Self {
        Self {
            affected: Affected::Yes,
            signatures: &[],
            now: now(),
            terms: Terms::default(),
        }
    }
}

impl Question<'_> {
    pub(crate) fn ask(&self, filter: &Filter, facts: &[Fact]) -> Judgement {
        self.ask_of(filter, &facts.iter().cloned().collect())
    }

    pub(crate) fn ask_of(&self, filter: &Filter, evidence: &Evidence) -> Judgement {
        let key = key();
        let subject = Subject {
            affected: self.affected,
            key: &key,
            template: TEMPLATE,
            filter,
            signatures: self.signatures,
        };
        judge(&subject, evidence, &self.terms, self.now)
    }
}
