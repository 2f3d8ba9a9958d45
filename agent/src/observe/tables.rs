//! What the programs in the kernel go by, as bytes: `struct tables` of `bpf/observer.c`, made from a
//! [`Sieve`]. Pure.

use std::collections::HashMap;

use podfence_seccomp::{Abi, Condition, Kept, NUMBERS, Operator, Sieve, syscalls};

/// Rules that there is room for. Those of all known profiles are a dozen.
const RULES: usize = 128;
/// Comparisons of one rule.
const TESTS: usize = 4;
/// Arguments that are kept of a call.
const KEPT: usize = 2;
/// ABIs that there is room for.
const ABIS: u8 = 4;
/// Words of a set of numbers.
const WORDS: u32 = NUMBERS / u64::BITS;

/// `enum rule_kind`
const KEEP: u8 = 0;
const EXECUTE: u8 = 1;
/// `enum test_kind`
const MASKED: u8 = 0;
const SMALL: u8 = 1;

/// Calls that make a process another program.
const EXECUTING: [&str; 2] = ["execve", "execveat"];

/// What the programs go by.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The ABIs by the programs' own numbers.
    abis: Vec<Abi>,
    rules: Vec<Rule>,
    rule_of: HashMap<(u8, u32), u8>,
    bytes: Vec<u8>,
}

/// A sieve that the programs have no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile of the runtime tells more calls apart than the observer has room for")]
pub struct TooManyRules;

/// `struct rule`
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rule {
    kind: u8,
    flags_in_memory: bool,
    kept: Vec<(u8, u64)>,
    tests: Vec<Test>,
}

/// `struct test`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Test {
    kind: u8,
    argument: u8,
    mask: u64,
    value: u64,
}

impl Tables {
    /// The tables of a sieve.
    ///
    /// # Errors
    /// When the programs have no room for it.
    pub fn of(sieve: &Sieve) -> Result<Self, TooManyRules> {
        let abis = by_number(sieve);
        // The first is for numbers that no table has.
        let mut rules = vec![Rule::default()];
        let mut rule_of = HashMap::new();
        for (at, abi) in (0_u8..).zip(&abis) {
            let kept = sieve.kept(*abi);
            let executing = EXECUTING
                .iter()
                .filter_map(|name| syscalls::number(*abi, name));
            let kept = kept.map(|(number, kept)| Ok((number, Rule::of(*abi, number, kept)?)));
            let executing = executing.map(|number| Ok((number, Rule::executing())));
            for rule in kept.chain(executing) {
                let (number, rule) = rule?;
                let place = rules.iter().position(|known| *known == rule);
                let place = place.unwrap_or_else(|| {
                    rules.push(rule);
                    rules.len() - 1
                });
                let place = u8::try_from(place).map_err(|_| TooManyRules)?;
                rule_of.insert((at, number), place);
            }
        }
        if rules.len() > RULES || abis.len() > usize::from(ABIS) {
            return Err(TooManyRules);
        }
        let bytes = bytes(&abis, &rules, &rule_of);
        Ok(Self {
            abis,
            rules,
            rule_of,
            bytes,
        })
    }

    /// Tables by which nothing is kept but the calls of one number, of the node's own ABI.
    #[must_use]
    pub(crate) fn keeping(abi: Abi, number: u32) -> Self {
        let (abis, rules) = (vec![abi], vec![Rule::default()]);
        let rule_of = HashMap::from([((0, number), 0)]);
        let bytes = bytes(&abis, &rules, &rule_of);
        Self {
            abis,
            rules,
            rule_of,
            bytes,
        }
    }

    /// `struct tables`
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The ABI that the programs call by a number.
    #[must_use]
    pub fn abi(&self, number: u8) -> Option<Abi> {
        self.abis.get(usize::from(number)).copied()
    }

    /// The positions of the arguments that the programs keep of a call, in their order.
    #[must_use]
    pub fn kept(&self, abi: u8, number: u32) -> Vec<u8> {
        let place = self
            .rule_of
            .get(&(abi, number))
            .copied()
            .unwrap_or_default();
        let rule = self.rules.get(usize::from(place));
        let kept = rule.map(|rule| rule.kept.iter().map(|(at, _)| *at).collect());
        kept.unwrap_or_default()
    }
}

/// The ABIs in the order of the programs: the node's own, the one of 32 bits, x32.
fn by_number(sieve: &Sieve) -> Vec<Abi> {
    let mut abis: Vec<Abi> = sieve.abis().collect();
    abis.sort_by_key(|abi| match abi {
        Abi::X86 | Abi::Arm => 1,
        Abi::X32 => 2,
        _ => 0,
    });
    abis
}

impl Rule {
    fn executing() -> Self {
        Self {
            kind: EXECUTE,
            ..Self::default()
        }
    }

    fn of(abi: Abi, number: u32, kept: &Kept) -> Result<Self, TooManyRules> {
        if kept.arguments.len() > KEPT {
            return Err(TooManyRules);
        }
        Ok(Self {
            kind: KEEP,
            flags_in_memory: syscalls::name(abi, number) == Some("clone3"),
            kept: kept.arguments.clone(),
            tests: tests(&kept.passes),
        })
    }
}

/// The comparisons that the programs make. One that they cannot make is left out: then more is kept.
fn tests(passes: &[Condition]) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for Condition { index, operator } in passes {
        match *operator {
            Operator::MaskedEqual { mask, value } => tests.push(Test {
                kind: MASKED,
                argument: *index,
                mask,
                value,
            }),
            Operator::Equal(value) if value < u64::from(u64::BITS) => {
                let known = tests
                    .iter_mut()
                    .find(|test| test.kind == SMALL && test.argument == *index);
                match known {
                    Some(test) => test.value |= 1 << value,
                    None => tests.push(Test {
                        kind: SMALL,
                        argument: *index,
                        mask: 0,
                        value: 1 << value,
                    }),
                }
            }
            _ => {}
        }
    }
    tests.truncate(TESTS);
    tests
}

/// The bytes of `struct tables`, field by field.
fn bytes(abis: &[Abi], rules: &[Rule], rule_of: &HashMap<(u8, u32), u8>) -> Vec<u8> {
    let is_kept = |abi: u8, number: u32| rule_of.contains_key(&(abi, number));
    let known = 0..u8::try_from(abis.len()).unwrap_or(u8::MAX);
    let mut bytes = Vec::new();
    let set = |bytes: &mut Vec<u8>, passes: &dyn Fn(u32) -> bool| {
        for word in 0..WORDS {
            let first = word * u64::BITS;
            let bits = (0..u64::BITS).filter(|bit| passes(first + bit));
            let word = bits.fold(0_u64, |word, bit| word | 1 << bit);
            bytes.extend(word.to_ne_bytes());
        }
    };
    // An ABI that the node does not have has nothing that passes.
    set(&mut bytes, &|number| {
        known.clone().all(|abi| !is_kept(abi, number))
    });
    for abi in 0..ABIS {
        set(&mut bytes, &|number| {
            known.contains(&abi) && !is_kept(abi, number)
        });
    }
    for abi in 0..ABIS {
        let place = |number| rule_of.get(&(abi, number)).copied().unwrap_or_default();
        bytes.extend((0..NUMBERS).map(place));
    }
    for at in 0..RULES {
        rules.get(at).cloned().unwrap_or_default().write(&mut bytes);
    }
    bytes
}

impl Rule {
    fn write(&self, bytes: &mut Vec<u8>) {
        let Self {
            kind,
            flags_in_memory,
            kept,
            tests,
        } = self;
        let length = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        bytes.extend([
            *kind,
            u8::from(*flags_in_memory),
            length(kept.len()),
            length(tests.len()),
        ]);
        let of_kept = |at: usize| kept.get(at).copied().unwrap_or_default();
        bytes.extend((0..KEPT).map(|at| of_kept(at).0));
        bytes.extend([0; 2]);
        bytes.extend((0..KEPT).flat_map(|at| of_kept(at).1.to_ne_bytes()));
        for at in 0..TESTS {
            let unused = Test {
                kind: MASKED,
                argument: 0,
                mask: 0,
                value: 1,
            };
            let test = tests.get(at).copied().unwrap_or(unused);
            bytes.extend(test.mask.to_ne_bytes());
            bytes.extend(test.value.to_ne_bytes());
            bytes.extend([test.argument, test.kind]);
            bytes.extend([0; 6]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use podfence_seccomp::{
        Abi, Architecture, Condition, NUMBERS, Operator, Profile, Runtime, Sieve, syscalls,
    };

    use super::{ABIS, EXECUTE, MASKED, RULES, SMALL, Tables, Test, tests};

    /// `sizeof(struct rule)`
    const RULE: usize = 120;

    fn sieve(profile: &str, architecture: Architecture) -> Sieve {
        let profile: Profile = profile.parse().expect("a profile");
        let kernel = "6.18".parse().expect("a kernel");
        Sieve::of(&profile.rules, architecture, kernel).expect("few classes")
    }

    #[test]
    fn comparisons_that_the_programs_cannot_make_are_left_out() {
        let condition = |index, operator| Condition { index, operator };
        let small = |argument, value| Test {
            kind: SMALL,
            argument,
            mask: 0,
            value,
        };
        for (name, passes, want) in [
            ("none", vec![], vec![]),
            (
                "others",
                vec![
                    condition(0, Operator::NotEqual(1)),
                    condition(0, Operator::Equal(64)),
                    condition(1, Operator::LessOrEqual(7)),
                ],
                vec![],
            ),
            (
                "numbers of two arguments",
                vec![
                    condition(0, Operator::Equal(0)),
                    condition(2, Operator::Equal(63)),
                    condition(0, Operator::Equal(3)),
                ],
                vec![small(0, 0b1001), small(2, 1 << 63)],
            ),
            (
                "flags",
                vec![condition(0, Operator::MaskedEqual { mask: 6, value: 0 })],
                vec![Test {
                    kind: MASKED,
                    argument: 0,
                    mask: 6,
                    value: 0,
                }],
            ),
        ] {
            assert_eq!(tests(&passes), want, "{name}");
        }
    }

    #[test]
    fn every_known_profile_has_room() {
        let mut seen = HashSet::new();
        for runtime in Runtime::ALL {
            for release in Profile::releases(runtime).expect("the data read") {
                let rules = Profile::of(runtime, release).expect("a release").rules;
                if !seen.insert(rules.hash) {
                    continue;
                }
                let name = format!("{runtime}/{release}");
                let tables = Tables::of(&sieve(&name, Architecture::Amd64)).expect(&name);
                let sets = (1 + usize::from(ABIS)) * NUMBERS as usize / 8;
                let places = usize::from(ABIS) * NUMBERS as usize;
                assert_eq!(tables.bytes().len(), sets + places + RULES * RULE, "{name}");
                assert!(tables.rules.len() < 20, "{name}: {:?}", tables.rules);
            }
        }
    }

    /// What the programs read out of the bytes.
    fn is_set(tables: &Tables, set: usize, number: u32) -> bool {
        let word = set * 128 + (number / 64 * 8) as usize;
        let word = tables.bytes()[word..word + 8].try_into().expect("eight");
        u64::from_ne_bytes(word) >> (number % 64) & 1 == 1
    }

    #[test]
    fn the_sets_say_what_the_sieve_says() {
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            let sieve = sieve("containerd/2.3.7", architecture);
            let tables = Tables::of(&sieve).expect("room");
            let mut everywhere = 0;
            for number in 0..NUMBERS {
                let mut all = true;
                for at in 0..ABIS {
                    let allowed = tables.abi(at).is_some_and(|abi| {
                        let is_executing = ["execve", "execveat"]
                            .contains(&syscalls::name(abi, number).unwrap_or_default());
                        !is_executing && sieve.kept(abi).all(|(kept, _)| kept != number)
                    });
                    assert_eq!(is_set(&tables, 1 + usize::from(at), number), allowed);
                    all &= allowed || tables.abi(at).is_none();
                }
                assert_eq!(is_set(&tables, 0, number), all, "{number}");
                everywhere += u32::from(all);
            }
            assert!(everywhere > 100, "{everywhere}");
        }
    }

    #[test]
    fn the_first_abi_is_the_nodes_own() {
        let tables = Tables::of(&sieve("containerd/2.3.7", Architecture::Amd64)).expect("room");
        let abis: Vec<_> = (0..ABIS).map(|at| tables.abi(at)).collect();
        assert_eq!(
            abis,
            [Some(Abi::X86_64), Some(Abi::X86), Some(Abi::X32), None]
        );
        let number = |name| syscalls::number(Abi::X86_64, name).expect("a call");
        for (name, kept) in [
            ("read", vec![]),
            ("keyctl", vec![]),
            ("setns", vec![1]),
            ("clone3", vec![0]),
        ] {
            assert_eq!(tables.kept(0, number(name)), kept, "{name}");
        }
        let place = tables.rule_of[&(0, number("execve"))];
        assert_eq!(tables.rules[usize::from(place)].kind, EXECUTE);
        let place = tables.rule_of[&(0, number("clone3"))];
        assert!(tables.rules[usize::from(place)].flags_in_memory);
        let tables = Tables::of(&sieve("containerd/2.3.7", Architecture::Arm64)).expect("room");
        let abis: Vec<_> = (0..ABIS).map(|at| tables.abi(at)).collect();
        assert_eq!(abis, [Some(Abi::Aarch64), Some(Abi::Arm), None, None]);
    }
}
