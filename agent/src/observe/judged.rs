//! What a call that was seen says about the `RuntimeDefault` of its container. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use podfence_seccomp::evidence::{Arguments, Call, Denial, Outcome, Source};
use podfence_seccomp::{Action, Bearing, Errno, Filter, FilterKey, Profile, syscalls};

use super::sight::{Fate, SeenCall};

/// Containers of a node differ by their capabilities, which come in a handful of sets.
const MOST_FILTERS: usize = 64;

/// What a container is known to be confined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// By no filter of its runtime: whatever is denied, the program denies itself.
    No,
    /// By this many filters, of which one is its runtime's.
    By(u32),
    /// Nobody can say.
    Unknown,
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Nothing that counts.
    Nothing,
    /// A call that an unconfined program made, and that the profile denies.
    Call(Call),
    /// A call that the profile denied.
    Denial(Denial),
    /// What it comes to cannot be said, and it must not be taken for nothing: an argument is missing
    /// that a rule asks for, or the call has no name here.
    Lost,
}

/// The filters of containers, loaded once each.
#[derive(Debug, Default)]
pub struct Filters(HashMap<FilterKey, Option<Arc<Filter>>>);

impl Filters {
    /// The filter of a container under this profile; none where its rules cannot be loaded, as those
    /// of every known profile can.
    pub fn get(&mut self, profile: &Profile, key: FilterKey) -> Option<Arc<Filter>> {
        if self.0.len() >= MOST_FILTERS && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let load = || {
            let loaded = Filter::load(&profile.rules, key.container, key.loader);
            loaded.ok().map(Arc::new)
        };
        self.0.entry(key).or_insert_with(load).clone()
    }
}

/// What a call comes to under a filter.
#[must_use]
pub fn judged(filter: &Filter, seen: &SeenCall, confined: Confined) -> Judged {
    let Some(name) = syscalls::name(seen.abi, seen.number) else {
        return unnamed(filter, seen, confined);
    };
    let arguments = match &seen.arguments {
        Some(arguments) => Arguments::recorded(arguments.iter().copied()),
        None => Arguments::UNRECORDED,
    };
    let outcome = match seen.fate {
        Fate::Success => Outcome::Success,
        Fate::Refused(errno) => Outcome::Errno(errno),
        Fate::Unrecorded => Outcome::Unrecorded,
        Fate::Denied {
            errno,
            filters,
            ambiguous,
        } => {
            let Some(of_others) = others(confined, filters) else {
                return Judged::Nothing;
            };
            let denial = Denial {
                name: name.into(),
                arguments,
                abi: seen.abi,
                errno,
                ambiguous: ambiguous || of_others,
            };
            return match denial.bearing(filter) {
                Bearing::None => Judged::Nothing,
                Bearing::Denied => Judged::Denial(denial),
                Bearing::Undecided => Judged::Lost,
            };
        }
    };
    let call = Call {
        name: name.into(),
        arguments,
        abi: seen.abi,
        outcome,
        source: Source::Observer,
    };
    match call.bearing(filter) {
        Bearing::None => Judged::Nothing,
        Bearing::Denied => Judged::Call(call),
        Bearing::Undecided => Judged::Lost,
    }
}

/// Whether filters of the program's own may have denied it; none where nothing else can have.
fn others(confined: Confined, filters: u32) -> Option<bool> {
    match confined {
        Confined::No => None,
        Confined::By(own) => Some(filters > own),
        Confined::Unknown => Some(true),
    }
}

/// A number that no name is known of: there is nothing to record it by. Where the profile would let
/// it through, or the kernel has no such call and the profile says the same, nothing is lost.
fn unnamed(filter: &Filter, seen: &SeenCall, confined: Confined) -> Judged {
    let mut arguments = [0; 6];
    for (position, value) in seen.arguments.iter().flatten() {
        if let Some(argument) = arguments.get_mut(usize::from(*position)) {
            *argument = *value;
        }
    }
    let answer = filter.action(seen.abi, seen.number, arguments);
    let is_same = match seen.fate {
        Fate::Refused(errno) => errno == Errno::ENOSYS && answer == Action::Errno(errno),
        Fate::Denied { errno, filters, .. } => {
            others(confined, filters).is_none() || answer != Action::Errno(errno)
        }
        Fate::Success | Fate::Unrecorded => false,
    };
    if answer == Action::Allow || is_same {
        Judged::Nothing
    } else {
        Judged::Lost
    }
}

#[cfg(test)]
mod tests {
    use podfence_seccomp::evidence::Arguments;
    use podfence_seccomp::{
        Abi, Architecture, Container, Errno, Filter, FilterKey, Loader, Moment, Profile, Runtime,
        syscalls,
    };

    use super::super::sight::{Fate, SeenCall, SpaceId};
    use super::{Confined, Filters, Judged, judged};

    const NEWUSER: u64 = 0x1000_0000;
    const THREAD: u64 = 0x003d_0f00;

    fn filter() -> std::sync::Arc<Filter> {
        let profile: Profile = "containerd/2.3.7".parse().expect("a profile");
        let container = Container {
            architecture: Architecture::Amd64,
            bounding: Runtime::Containerd.default_capabilities(),
            kernel: "6.12".parse().expect("a kernel"),
        };
        let key = FilterKey::of(&profile.rules, container, Loader::default());
        Filters::default().get(&profile, key).expect("it loads")
    }

    fn seen(number: u32, first: Option<u64>, fate: Fate) -> SeenCall {
        SeenCall {
            space: SpaceId(1),
            abi: Abi::X86_64,
            number,
            arguments: first.map(|first| vec![(0, first)]),
            fate,
            executable: "/bin/a".into(),
            count: 1,
            first: Moment::from_unix_seconds(1),
            last: Moment::from_unix_seconds(1),
        }
    }

    fn word(judged: &Judged) -> String {
        match judged {
            Judged::Nothing => "nothing".to_owned(),
            Judged::Lost => "lost".to_owned(),
            Judged::Call(call) => format!("{} {:?}", call.name, call.arguments.at(0)),
            Judged::Denial(denial) => {
                let mark = if denial.ambiguous { "?" } else { "" };
                let known = denial.arguments != Arguments::UNRECORDED;
                format!("denied {}{mark} {known}", denial.name)
            }
        }
    }

    #[test]
    fn a_call_counts_if_the_profile_denies_it() {
        let filter = filter();
        let of = |name| syscalls::number(Abi::X86_64, name).expect("a call");
        let refused = Fate::Refused(Errno::EPERM);
        for (number, first, fate, want) in [
            (of("read"), None, Fate::Success, "nothing"),
            (of("keyctl"), Some(3), Fate::Success, "keyctl Some(3)"),
            (of("keyctl"), None, Fate::Success, "keyctl None"),
            (of("keyctl"), Some(3), refused, "keyctl Some(3)"),
            (of("clone"), Some(THREAD), Fate::Success, "nothing"),
            (of("clone"), Some(4), Fate::Unrecorded, "nothing"),
            (of("clone"), None, Fate::Success, "lost"),
            (of("clone3"), Some(THREAD), Fate::Success, "nothing"),
            (of("clone3"), None, Fate::Success, "lost"),
            (of("clone3"), None, refused, "lost"),
            // No name: what the kernel does not have either is no loss.
            (4000, None, Fate::Success, "lost"),
            (4000, None, Fate::Unrecorded, "lost"),
            (4000, None, Fate::Refused(Errno::ENOSYS), "nothing"),
            (4000, None, refused, "lost"),
            // Below the highest number the profile says EPERM, and programs fall back from ENOSYS.
            (400, None, Fate::Refused(Errno::ENOSYS), "lost"),
        ] {
            let got = judged(&filter, &seen(number, first, fate), Confined::No);
            assert_eq!(word(&got), want, "{number} {first:?} {fate:?}");
        }
    }

    #[test]
    fn a_denial_counts_if_the_profile_is_what_denied_it() {
        let filter = filter();
        let of = |name| syscalls::number(Abi::X86_64, name).expect("a call");
        let (one, unknown) = (Confined::By(1), Confined::Unknown);
        let (clone, new) = (of("clone"), Some(NEWUSER));
        for (number, first, errno, filters, confined, want) in [
            (clone, new, Errno::EPERM, 1, Confined::No, "nothing"),
            (clone, new, Errno::EPERM, 1, one, "denied clone true"),
            (clone, new, Errno::EPERM, 2, one, "denied clone? true"),
            (
                clone,
                new,
                Errno::EPERM,
                2,
                Confined::By(2),
                "denied clone true",
            ),
            (clone, new, Errno::EPERM, 1, unknown, "denied clone? true"),
            (clone, new, Errno::ENOSYS, 1, one, "nothing"),
            (clone, Some(THREAD), Errno::EPERM, 2, one, "nothing"),
            (clone, None, Errno::EPERM, 1, one, "lost"),
            (
                of("keyctl"),
                None,
                Errno::EPERM,
                1,
                one,
                "denied keyctl false",
            ),
            (of("clone3"), None, Errno::ENOSYS, 1, one, "nothing"),
            (of("read"), None, Errno::EPERM, 2, one, "nothing"),
            (4000, None, Errno::ENOSYS, 1, one, "lost"),
            (4000, None, Errno::EPERM, 1, one, "nothing"),
            (4000, None, Errno::ENOSYS, 1, Confined::No, "nothing"),
        ] {
            let fate = Fate::Denied {
                errno,
                filters,
                ambiguous: false,
            };
            let got = judged(&filter, &seen(number, first, fate), confined);
            assert_eq!(word(&got), want, "{number} {first:?} {errno} {confined:?}");
        }
        let fate = Fate::Denied {
            errno: Errno::EPERM,
            filters: 1,
            ambiguous: true,
        };
        let got = judged(&filter, &seen(clone, new, fate), one);
        assert_eq!(word(&got), "denied clone? true");
    }
}
