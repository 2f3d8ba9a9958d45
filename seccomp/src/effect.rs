//! What `RuntimeDefault` would take from a program, by a call that it makes without. Pure.
//!
//! That a call would be denied is not yet harm. Many are refused by the kernel anyway, for want of a
//! capability, and nothing changes. Harm is what is not known to be none.

use crate::argument;
use crate::evidence::{Arguments, Call, Denial, Outcome, Source};
use crate::{Abi, Action, Class, Errno, Filter, syscalls};

/// What a profile does to a call that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It goes through.
    Allowed,
    /// It fails today and would fail then, and a program takes both alike.
    Unchanged(Answer),
    /// It would be denied, and what that does is not known to be harmless.
    Harmful(Answer),
    /// That depends on arguments which nobody recorded.
    Undecided,
}

/// What a filter answers instead of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// This error.
    Errno(Errno),
    /// None: the thread is killed.
    Killed,
    /// An error that depends on arguments which nobody recorded.
    ByArguments,
}

/// A call as it is judged, which is not always the one that was made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Judged {
    pub(crate) name: Box<str>,
    pub(crate) arguments: Arguments,
}

enum Ruling {
    Allowed,
    Denied(Answer),
    Undecided,
}

/// What the profile does to a call of an unconfined program, and what call that is about.
pub(crate) fn of_call(filter: &Filter, call: &Call) -> (Judged, Effect) {
    let judged = Judged {
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    };
    match rule(filter, call.abi, &judged) {
        Ruling::Denied(Answer::Errno(Errno::ENOSYS)) if &*judged.name == "clone3" => {
            // Programs take it for a kernel without clone3 and call clone, which is what the answer
            // is for: filters cannot see flags in a structure, and can see those of clone.
            let clone = as_clone(call.abi, &judged.arguments);
            let effect = match rule(filter, call.abi, &clone) {
                Ruling::Allowed => Effect::Allowed,
                Ruling::Denied(answer) => changed(call.outcome, answer),
                Ruling::Undecided => Effect::Undecided,
            };
            (clone, effect)
        }
        Ruling::Allowed => (judged, Effect::Allowed),
        Ruling::Denied(answer) => (judged, changed(call.outcome, answer)),
        // A profile that logs has logged it, so its arguments were of those to deny.
        Ruling::Undecided if call.source == Source::AuditLog => {
            (judged, Effect::Harmful(Answer::ByArguments))
        }
        Ruling::Undecided => (judged, Effect::Undecided),
    }
}

/// Whether the profile can be what denied a call. A program can have a filter of its own beside it,
/// as browsers do, and what that denies says nothing about `RuntimeDefault`. Nor does the answer to
/// clone3 that makes programs fall back to clone. Where the arguments were not recorded, it is enough
/// that some are denied so.
pub(crate) fn is_denied_by(filter: &Filter, denial: &Denial) -> bool {
    let judged = Judged {
        name: denial.name.clone(),
        arguments: denial.arguments.clone(),
    };
    match rule(filter, denial.abi, &judged) {
        Ruling::Denied(answer) => {
            answer == Answer::Errno(denial.errno)
                && !(&*denial.name == "clone3" && denial.errno == Errno::ENOSYS)
        }
        Ruling::Undecided => syscalls::number(denial.abi, &denial.name).is_some_and(|number| {
            filter
                .errors(denial.abi, number)
                .any(|errno| errno == denial.errno)
        }),
        Ruling::Allowed => false,
    }
}

/// What a call that was seen says about a profile, for whoever decides what of it to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// Nothing: the profile lets it through, or something else denied it.
    None,
    /// The profile denies it, or did.
    Denied,
    /// That depends on arguments which nobody recorded.
    Undecided,
}

impl Call {
    /// What it says about a profile.
    #[must_use]
    pub fn bearing(&self, filter: &Filter) -> Bearing {
        match of_call(filter, self).1 {
            Effect::Allowed => Bearing::None,
            Effect::Unchanged(_) | Effect::Harmful(_) => Bearing::Denied,
            Effect::Undecided => Bearing::Undecided,
        }
    }
}

impl Denial {
    /// What it says about a profile.
    #[must_use]
    pub fn bearing(&self, filter: &Filter) -> Bearing {
        if !is_denied_by(filter, self) {
            return Bearing::None;
        }
        match answer(filter, self.abi, &self.name, &self.arguments) {
            Some(_) => Bearing::Denied,
            None => Bearing::Undecided,
        }
    }
}

/// What the profile answers to a call with these arguments; none where it lets it through, or where
/// the call does not exist or its arguments do not decide.
pub(crate) fn answer(
    filter: &Filter,
    abi: Abi,
    name: &str,
    arguments: &Arguments,
) -> Option<Answer> {
    let judged = Judged {
        name: name.into(),
        arguments: arguments.clone(),
    };
    match rule(filter, abi, &judged) {
        Ruling::Denied(answer) => Some(answer),
        Ruling::Allowed | Ruling::Undecided => None,
    }
}

fn rule(filter: &Filter, abi: Abi, call: &Judged) -> Ruling {
    let Some(number) = syscalls::number(abi, &call.name) else {
        return Ruling::Undecided;
    };
    let action = match filter.class(abi, number) {
        Class::Always(decision) => decision.action,
        Class::ByArguments(rules) => {
            let mut compared = rules.iter().flat_map(|rule| &rule.conditions);
            if !compared.all(|condition| call.arguments.at(condition.index).is_some()) {
                return Ruling::Undecided;
            }
            let arguments = std::array::from_fn(|position| {
                let position = u8::try_from(position).ok();
                position
                    .and_then(|position| call.arguments.at(position))
                    .unwrap_or_default()
            });
            filter.action(abi, number, arguments)
        }
    };
    match action {
        Action::Allow => Ruling::Allowed,
        Action::Errno(errno) => Ruling::Denied(Answer::Errno(errno)),
        Action::KillThread => Ruling::Denied(Answer::Killed),
    }
}

/// The call that a program makes when it takes clone3 for missing.
fn as_clone(abi: Abi, of_clone3: &Arguments) -> Judged {
    let flags = of_clone3.at(argument::position(abi, "clone3"));
    Judged {
        name: "clone".into(),
        arguments: match flags {
            Some(flags) => Arguments::recorded([(argument::position(abi, "clone"), flags)]),
            None => Arguments::UNRECORDED,
        },
    }
}

/// What it means that a call has this answer instead of today's outcome.
fn changed(today: Outcome, answer: Answer) -> Effect {
    let Outcome::Errno(today) = today else {
        return Effect::Harmful(answer);
    };
    match answer {
        // It would be the whole thread, instead of one call.
        Answer::Killed => Effect::Harmful(answer),
        // It may work the next time.
        _ if is_momentary(today) => Effect::Harmful(answer),
        // "No such call" is what fallbacks are made for; other errors end many programs.
        Answer::Errno(errno) if today == Errno::ENOSYS && errno != Errno::ENOSYS => {
            Effect::Harmful(answer)
        }
        Answer::ByArguments if today == Errno::ENOSYS => Effect::Harmful(answer),
        Answer::Errno(_) | Answer::ByArguments => Effect::Unchanged(answer),
    }
}

/// Whether an error says "not now" rather than "no": EINTR, EAGAIN, EBUSY, and what the kernel has for
/// itself when it starts a call again, which a tracepoint sees and a program does not.
fn is_momentary(errno: Errno) -> bool {
    matches!(errno.number(), 4 | 11 | 16 | 512..=516)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Bearing, Effect, is_denied_by, of_call};
    use crate::evidence::{Arguments, Call, Denial, Outcome, Source};
    use crate::{Abi, Architecture, Container, Errno, Filter, Loader, Profile, Runtime};

    const EPERM: Answer = Answer::Errno(Errno::EPERM);
    const ENOSYS: Answer = Answer::Errno(Errno::ENOSYS);

    fn filter(profile: &str) -> Filter {
        let profile: Profile = profile.parse().expect("a profile");
        let container = Container {
            architecture: Architecture::Amd64,
            bounding: Runtime::Containerd.default_capabilities(),
            kernel: "6.18".parse().expect("a kernel"),
        };
        Filter::load(&profile.rules, container, Loader::default()).expect("it loads")
    }

    fn call(name: &str, arguments: Option<u64>, outcome: Outcome, source: Source) -> Call {
        Call {
            name: name.into(),
            arguments: match arguments {
                Some(first) => Arguments::recorded([(0, first)]),
                None => Arguments::UNRECORDED,
            },
            abi: Abi::X86_64,
            outcome,
            source,
        }
    }

    #[test]
    fn what_fails_today_with_the_same_meaning_is_no_harm() {
        let failed = |number| Outcome::Errno(Errno::new(number));
        let (containerd, cri_o) = (filter("containerd/2.3.7"), filter("cri-o/1.36.0"));
        let io_uring = "io_uring_setup";
        for (filter, name, today, want) in [
            (
                &containerd,
                "no_such_call",
                Outcome::Success,
                Effect::Undecided,
            ),
            (&containerd, "read", Outcome::Success, Effect::Allowed),
            (
                &containerd,
                "keyctl",
                Outcome::Success,
                Effect::Harmful(EPERM),
            ),
            (
                &containerd,
                "keyctl",
                Outcome::Unrecorded,
                Effect::Harmful(EPERM),
            ),
            (&containerd, "keyctl", failed(1), Effect::Unchanged(EPERM)),
            (&containerd, "keyctl", failed(126), Effect::Unchanged(EPERM)),
            (&containerd, "keyctl", failed(38), Effect::Harmful(EPERM)),
            (&containerd, "keyctl", failed(11), Effect::Harmful(EPERM)),
            (&containerd, "keyctl", failed(512), Effect::Harmful(EPERM)),
            (&cri_o, "keyctl", Outcome::Success, Effect::Allowed),
            (&cri_o, io_uring, failed(38), Effect::Unchanged(ENOSYS)),
            (&cri_o, io_uring, failed(1), Effect::Unchanged(ENOSYS)),
            (&cri_o, io_uring, Outcome::Success, Effect::Harmful(ENOSYS)),
        ] {
            let (judged, effect) = of_call(filter, &call(name, None, today, Source::Observer));
            assert_eq!(effect, want, "{name} {today:?}");
            assert_eq!(&*judged.name, name);
        }
    }

    #[test]
    fn arguments_that_nobody_recorded_decide_nothing_unless_a_filter_has() {
        let filter = filter("containerd/2.3.7");
        let by_arguments = Effect::Harmful(Answer::ByArguments);
        for (name, argument, source, want) in [
            ("socket", Some(2), Source::Observer, Effect::Allowed),
            ("socket", Some(38), Source::Observer, Effect::Harmful(EPERM)),
            ("socket", None, Source::Spo, Effect::Undecided),
            ("socket", None, Source::InspektorGadget, Effect::Undecided),
            ("socket", None, Source::AuditLog, by_arguments),
            ("keyctl", None, Source::Spo, Effect::Harmful(EPERM)),
            ("read", None, Source::AuditLog, Effect::Allowed),
        ] {
            let seen = call(name, argument, Outcome::Unrecorded, source);
            let (_, effect) = of_call(&filter, &seen);
            assert_eq!(effect, want, "{name} {argument:?} {source:?}");
        }
    }

    #[test]
    fn clone3_is_judged_as_clone_where_programs_fall_back_to_it() {
        const THREAD: u64 = 0x003d_0f00;
        const NEWUSER: u64 = 0x1000_0000;
        let (new, old) = (filter("containerd/2.3.7"), filter("containerd/1.4.4"));
        for (filter, flags, outcome, name, want) in [
            (
                &new,
                Some(THREAD),
                Outcome::Success,
                "clone",
                Effect::Allowed,
            ),
            (
                &new,
                Some(NEWUSER),
                Outcome::Success,
                "clone",
                Effect::Harmful(EPERM),
            ),
            (
                &new,
                Some(NEWUSER),
                Outcome::Errno(Errno::EPERM),
                "clone",
                Effect::Unchanged(EPERM),
            ),
            (&new, None, Outcome::Success, "clone", Effect::Undecided),
            // EPERM makes nobody fall back.
            (
                &old,
                Some(THREAD),
                Outcome::Success,
                "clone3",
                Effect::Harmful(EPERM),
            ),
        ] {
            let seen = call("clone3", flags, outcome, Source::Observer);
            let (judged, effect) = of_call(filter, &seen);
            assert_eq!(
                (&*judged.name, effect),
                (name, want),
                "{flags:?} {outcome:?}"
            );
        }
        // That it was logged says nothing about flags that no filter can see.
        let logged = call("clone3", None, Outcome::Unrecorded, Source::AuditLog);
        assert_eq!(of_call(&new, &logged).1, Effect::Undecided);
    }

    #[test]
    fn a_denial_is_one_of_the_profile_only_if_that_answers_so() {
        let filter = filter("containerd/2.3.7");
        for (name, first, errno, want) in [
            ("no_such_call", None, Errno::EPERM, false),
            ("read", None, Errno::EPERM, false),
            ("keyctl", None, Errno::EPERM, true),
            ("keyctl", Some(0), Errno::EPERM, true),
            ("keyctl", None, Errno::ENOSYS, false),
            ("clone3", None, Errno::ENOSYS, false),
            ("clone3", Some(0x1000_0000), Errno::ENOSYS, false),
            ("clone", None, Errno::EPERM, true),
            // A thread: the profile lets it through.
            ("clone", Some(0x003d_0f00), Errno::EPERM, false),
            ("clone", Some(0x1000_0000), Errno::EPERM, true),
            ("clone", Some(0x1000_0000), Errno::ENOSYS, false),
            ("socket", None, Errno::EPERM, true),
            ("socket", Some(2), Errno::EPERM, false),
            ("socket", Some(38), Errno::EPERM, true),
            ("socket", None, Errno::EINVAL, false),
        ] {
            let denial = Denial {
                name: name.into(),
                arguments: first.map_or(Arguments::UNRECORDED, |first| {
                    Arguments::recorded([(0, first)])
                }),
                abi: Abi::X86_64,
                errno,
                ambiguous: false,
            };
            let denied = is_denied_by(&filter, &denial);
            assert_eq!(denied, want, "{name} {first:?} {errno}");
            // What was not recorded, and a rule asks for, is not certain.
            let asks = matches!(name, "clone" | "socket") && first.is_none();
            let bearing = match denied {
                false => Bearing::None,
                true if asks => Bearing::Undecided,
                true => Bearing::Denied,
            };
            assert_eq!(denial.bearing(&filter), bearing, "{name} {first:?}");
        }
    }
}
