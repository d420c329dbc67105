//! The files as they are written, key for key: what the YAML parser fills in and [`super::lower`] gives a
//! meaning. Plain structs alone: flattened, untagged and tagged types lose positions and turn
//! `1.10` into a number.

pub(crate) mod check;
pub(crate) mod inventory;
pub(crate) mod kind;
pub(crate) mod procedure;
mod shapes;
pub(crate) mod step;
pub(crate) mod words;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Declares a mapping of the file: every key is optional here, an unknown one is refused, and `given`
/// lists those that are there. What is written above a key is what an editor shows of it; behind `=>` stands what
/// a value must be beyond its type, and behind the mapping's name what holds of its keys together
/// ([`super::shape`]). With `+ condition` it also takes the keys of a condition.
macro_rules! mapping {
    (@keys $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Clone, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($(#[doc = $doc])* pub(crate) $field: Option<$type>,)*
        }

        impl $crate::config::raw::Given for $name {
            fn given(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$field.is_some() {
                    keys.push(stringify!($field).trim_start_matches("r#"));
                })*
                keys
            }
        }

        impl $crate::config::shape::Shape for $name {
            fn shape(
                book: &mut $crate::config::shape::Book,
                _: &$crate::config::shape::Hint,
            ) -> serde_json::Value {
                book.refer(stringify!($name), Self::object)
            }
        }
    };
    (@hint) => { $crate::config::shape::Hint::default() };
    (@hint $hint:expr) => { $hint };
    (@object $about:expr, [$($rule:expr),*], $book:ident, {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(=> $hint:expr)?,)*
    }) => {{
        let mut object = $crate::config::shape::Object::new($about);
        $(object.key::<$type>(
            $book,
            stringify!($field),
            concat!($($doc, "\n"),*),
            &mapping!(@hint $($hint)?),
        );)*
        $(object.rule($rule);)*
        object
    }};
    ($(#[doc = $about:literal])* $name:ident $([$($rule:expr),* $(,)?])? {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(=> $hint:expr)?,)*
    }) => {
        mapping! { @keys $name { $($(#[doc = $doc])* $field: $type,)* } }

        impl $name {
            /// What an editor is told of it.
            pub(crate) fn object(book: &mut $crate::config::shape::Book) -> $crate::config::shape::Object {
                mapping!(@object concat!($($about, "\n"),*), [$($($rule),*)?], book, {
                    $($(#[doc = $doc])* $field: $type $(=> $hint)?,)*
                })
            }
        }
    };
    ($(#[doc = $about:literal])* $name:ident $([$($rule:expr),* $(,)?])? {
        $($(#[doc = $doc:literal])* $field:ident: $type:ty $(=> $hint:expr)?,)*
    } + condition) => {
        mapping! {
            @keys $name {
                $($(#[doc = $doc])* $field: $type,)*
                equals: $crate::config::raw::Scalar,
                not_equals: $crate::config::raw::Scalar,
                at_least: $crate::config::raw::Scalar,
                at_most: $crate::config::raw::Scalar,
                matches: $crate::config::raw::Scalar,
                not_matches: $crate::config::raw::Scalar,
                one_of: Vec<$crate::config::raw::Scalar>,
                none_of: Vec<$crate::config::raw::Scalar>,
                empty: bool,
                count_at_most: u64,
                count_at_least: u64,
                count_equals: u64,
            }
        }

        impl $name {
            pub(crate) fn condition(&self) -> $crate::config::raw::RawCondition {
                $crate::config::raw::RawCondition {
                    equals: self.equals.clone(),
                    not_equals: self.not_equals.clone(),
                    at_least: self.at_least.clone(),
                    at_most: self.at_most.clone(),
                    matches: self.matches.clone(),
                    not_matches: self.not_matches.clone(),
                    one_of: self.one_of.clone(),
                    none_of: self.none_of.clone(),
                    empty: self.empty,
                    count_at_most: self.count_at_most,
                    count_at_least: self.count_at_least,
                    count_equals: self.count_equals,
                }
            }

            /// What an editor is told of it.
            pub(crate) fn object(book: &mut $crate::config::shape::Book) -> $crate::config::shape::Object {
                let mut object = mapping!(@object concat!($($about, "\n"),*), [$($($rule),*)?], book, {
                    $($(#[doc = $doc])* $field: $type $(=> $hint)?,)*
                });
                object.keys_of($crate::config::raw::RawCondition::object(book));
                object
            }
        }
    };
}
pub(crate) use mapping;

pub(crate) use check::RawCondition;

/// A mapping that knows which of its keys are written.
pub(crate) trait Given {
    /// The keys that are written, in the order of the declaration.
    fn given(&self) -> Vec<&'static str>;
}

/// A single value as YAML reads it. What it may be is a question of its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i128),
    /// A number with a fraction or an exponent: what was written can no longer be told from it.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Scalar, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone)]
pub(crate) enum OneOrMany {
    /// One.
    One(Scalar),
    /// A list.
    Many(Vec<Scalar>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list of them")
    }

    fn visit_bool<E>(self, value: bool) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Int(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<OneOrMany, E> {
        Ok(OneOrMany::One(Scalar::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany::Many(values))
    }
}

/// One mapping, or a list of them.
#[derive(Debug, Clone)]
pub(crate) enum Mappings<T> {
    /// One.
    One(Box<T>),
    /// A list.
    Many(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mappings<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MappingsVisitor(PhantomData))
    }
}

struct MappingsVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MappingsVisitor<T> {
    type Value = Mappings<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of keys to values, or a list of such mappings")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mappings<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|one| Mappings::One(Box::new(one)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Mappings<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Mappings::Many(values))
    }
}

/// A short form of one value, or the mapping in full.
#[derive(Debug, Clone)]
pub(crate) enum Or<T> {
    /// The short form.
    Short(Scalar),
    /// In full.
    Full(Box<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Or<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrVisitor(PhantomData))
    }
}

struct OrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrVisitor<T> {
    type Value = Or<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a mapping of keys to values")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Or<T>, E> {
        Ok(Or::Short(Scalar::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Or<T>, E> {
        Ok(Or::Short(Scalar::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Or<T>, E> {
        Ok(Or::Short(Scalar::Int(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Or<T>, E> {
        Ok(Or::Short(Scalar::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Or<T>, E> {
        Ok(Or::Short(Scalar::Text(value.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Or<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|full| Or::Full(Box::new(full)))
    }
}

/// A mapping whose keys are names that the operator chose, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
