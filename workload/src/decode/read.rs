//! How single values, lists and maps are read: strictly, and with a bound. Pure.
//!
//! Values are asked for with `deserialize_any`, so that a format which would convert (YAML's
//! quoted `"true"`, a number for a name) says instead what it has.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::capability::CapabilitySet;
use crate::labels::Labels;
use crate::limits::MAX_ITEMS;
use crate::meta::Uid;
use crate::object::PodPhase;
use crate::placement::Operator;
use crate::security::ProfileType;
use crate::template::RestartPolicy;

/// A value that is read from exactly one type of the format.
pub(super) trait Read<'de>: Sized {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// A document that is one value.
pub(super) struct Whole<T>(pub(super) T);

impl<'de, T: Read<'de>> serde::Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

/// Asks for a value that must be there.
pub(super) struct Required<T>(PhantomData<T>);

/// Asks for a value where null is as good as absent.
pub(super) struct Nullable<T>(PhantomData<T>);

impl<T> Required<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Nullable<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Read<'de>> DeserializeSeed<'de> for Required<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

impl<'de, T: Read<'de>> DeserializeSeed<'de> for Nullable<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, T: Read<'de>> Visitor<'de> for Nullable<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::read(deserializer).map(Some)
    }
}

/// Reads a string and makes a value of it without owning it in between.
pub(super) struct Text<F>(pub(super) F);

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! read_from_text {
    ($($type:ty),*) => {$(
        impl<'de> Read<'de> for $type {
            fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text(|text: &str| <$type>::from(text)))
            }
        }
    )*};
}

read_from_text!(
    Box<str>,
    Arc<str>,
    Uid,
    PodPhase,
    ProfileType,
    Operator,
    RestartPolicy,
    Time
);

/// A time in seconds since 1970; none where the text is no time. Statuses have times, and a status
/// that cannot be read must not make the pod unreadable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Time(pub(super) Option<i64>);

impl From<&str> for Time {
    fn from(text: &str) -> Self {
        let time: Result<jiff::Timestamp, _> = text.parse();
        Self(time.ok().map(jiff::Timestamp::as_second))
    }
}

impl<'de> Read<'de> for bool {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Flag;
        impl Visitor<'_> for Flag {
            type Value = bool;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("true or false")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
                Ok(flag)
            }
        }
        deserializer.deserialize_any(Flag)
    }
}

impl<'de> Read<'de> for i64 {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Integer;
        impl Visitor<'_> for Integer {
            type Value = i64;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an integer of 64 bits")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
                Ok(number)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
                i64::try_from(number).map_err(|_| out_of_range(number))
            }
        }
        deserializer.deserialize_any(Integer)
    }
}

impl<'de> Read<'de> for i32 {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::read(deserializer)?;
        Self::try_from(number).map_err(|_| out_of_range(number))
    }
}

fn out_of_range<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!("the number {number} is out of range"))
}

fn too_many<E: Error>() -> E {
    E::custom(format_args!("more than {MAX_ITEMS} entries"))
}

impl<'de, T: Read<'de>> Read<'de> for Box<[T]> {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Read<'de>> Visitor<'de> for List<T> {
            type Value = Box<[T]>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Box<[T]>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element_seed(Required::new())? {
                    if items.len() == MAX_ITEMS {
                        return Err(too_many());
                    }
                    items.push(item);
                }
                Ok(items.into_boxed_slice())
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

impl<'de> Read<'de> for CapabilitySet {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = CapabilitySet;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of capabilities")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<CapabilitySet, A::Error> {
                let mut set = CapabilitySet::default();
                let mut count = 0;
                while list
                    .next_element_seed(Text(|name: &str| set.push(name)))?
                    .is_some()
                {
                    count += 1;
                    if count > MAX_ITEMS {
                        return Err(too_many());
                    }
                }
                set.sort();
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Names)
    }
}

/// A label or an annotation.
type Pair = (Box<str>, Box<str>);

/// Pairs of text, sorted by key. A null value is an empty one, as for an API server.
fn read_pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
    wanted: fn(&str) -> bool,
) -> Result<Vec<Pair>, D::Error> {
    struct Pairs(fn(&str) -> bool);
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<Pair>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs: Self::Value = Vec::new();
            let wanted = self.0;
            let key = |key: &str| wanted(key).then(|| Box::from(key));
            while let Some(key) = map.next_key_seed(Text(key))? {
                let Some(key) = key else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                if pairs.len() == MAX_ITEMS {
                    return Err(too_many());
                }
                let value = map.next_value_seed(Nullable::<Box<str>>::new())?;
                pairs.push((key, value.unwrap_or_default()));
            }
            pairs.sort_unstable();
            let repeated = pairs.windows(2).find_map(|pair| match pair {
                [(first, _), (second, _)] if first == second => Some(first),
                _ => None,
            });
            match repeated {
                Some(key) => Err(Error::custom(format_args!("duplicate key {key:?}"))),
                None => Ok(pairs),
            }
        }
    }
    deserializer.deserialize_map(Pairs(wanted))
}

impl<'de> Read<'de> for Labels {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_pairs(deserializer, |_| true).map(|pairs| Self(pairs.into()))
    }
}

/// The annotations that choose a profile; all others are skipped.
pub(super) struct ProfileAnnotations(pub(super) Box<[Pair]>);

impl<'de> Read<'de> for ProfileAnnotations {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = read_pairs(deserializer, crate::template::is_profile_annotation)?;
        Ok(Self(pairs.into()))
    }
}

/// An object of which only matters that it is there.
pub(super) struct Present;

impl<'de> Read<'de> for Present {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyObject;
        impl<'de> Visitor<'de> for AnyObject {
            type Value = Present;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Present, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Present)
            }
        }
        deserializer.deserialize_map(AnyObject)
    }
}

/// A value of any type.
pub(super) struct Anything;

impl<'de> Read<'de> for Anything {
    fn read<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_ignored_any(IgnoredAny)
            .map(|_| Self)
    }
}
