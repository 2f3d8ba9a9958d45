//! Declares what is read of a JSON object. Pure.

/// Declares a struct that is read from an object, and from nothing else.
///
/// Every field is absent, or null, or there once and of its type; other fields are skipped.
/// serde's derive is not strict enough here: it also reads a struct from an array, by position,
/// and `"securityContext": [true]` must not be a security context.
macro_rules! record {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty = $key:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(super) struct $name {
            $(pub(super) $field: Option<$type>,)+
        }

        impl<'de> $crate::decode::read::Read<'de> for $name {
            fn read<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use ::serde::de::{Error, IgnoredAny, MapAccess, Visitor};
                use $crate::decode::read::{Nullable, Text};

                #[allow(non_camel_case_types)]
                #[derive(Clone, Copy)]
                enum Key {
                    $($field,)+
                    Skipped,
                }

                fn find(key: &str) -> Key {
                    match key {
                        $($key => Key::$field,)+
                        _ => Key::Skipped,
                    }
                }

                struct Fields;

                impl<'de> Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, out: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        out.write_str("an object")
                    }

                    fn visit_map<A>(self, mut map: A) -> Result<$name, A::Error>
                    where
                        A: MapAccess<'de>,
                    {
                        let mut record = $name::default();
                        let mut seen = 0_u32;
                        while let Some(found) = map.next_key_seed(Text(find))? {
                            match found {
                                $(Key::$field => {
                                    if seen & (1 << found as u32) != 0 {
                                        return Err(Error::duplicate_field($key));
                                    }
                                    seen |= 1 << found as u32;
                                    record.$field = map.next_value_seed(Nullable::new())?;
                                })+
                                Key::Skipped => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(record)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

pub(super) use record;
