//! One untyped pass over a document, for what the library lets pass: equal keys, values left
//! out, tags, merge keys, and files that are small on disk and huge in memory.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use super::super::mistake::{Mistake, Mistakes, PRINTED};
use super::super::path::Path;
use super::super::source::Source;
use super::{Aim, MOST_DEEP, locate, nearest, token, words};

/// Values in one document, with what aliases repeat.
const MOST_VALUES: usize = 400_000;

/// Refuses a document for its shape, before its meaning is looked at.
pub(super) fn refuse(source: &Source) -> Result<(), Mistakes> {
    let walk = Walk::default();
    let top = Spot { walk: &walk, trail: Trail::Top, depth: 0 };
    if let Err(error) = top.deserialize(serde_yaml::Deserializer::from_str(source.text())) {
        let problem = walk.problem.into_inner();
        let place = error.location().map_or((1, 1), |place| (place.line(), place.column()));
        return Err(match problem {
            Some(problem) => problem.mistake(source, place),
            None => words::explain(source, &error),
        }
        .into());
    }
    let (empty, nul) = (walk.empty.into_inner(), walk.nul.into_inner());
    let more = (empty.len() + nul.len()).saturating_sub(PRINTED);
    let empty = empty.iter().map(|path| left_out(source, path));
    let shown = empty.chain(nul.iter().map(|path| with_nul(source, path))).take(PRINTED).collect();
    Mistakes::collect_with(shown, more).map_or(Ok(()), Err)
}

/// The byte itself was refused already; in quotes there is an escape for it.
fn with_nul(source: &Source, path: &Path) -> Mistake {
    let place = nearest(source, path, Aim::Value);
    let length = token(source.line(place.0), place.1);
    let what = format!("`{path}` holds a NUL byte (`\\0`), which no process can be given");
    source.mistake(place, length, what, "in this value", &["take it out"])
}

fn left_out(source: &Source, path: &Path) -> Mistake {
    let aim = if path.segments().is_empty() { Aim::Value } else { Aim::Key };
    let place = locate(source.text(), path.segments(), aim).unwrap_or((1, 1));
    let length = token(source.line(place.0), place.1);
    let what = format!("`{path}` has no value");
    source.mistake(place, length, what, "nothing follows it", &["give it a value, or delete the key"])
}

#[derive(Default)]
struct Walk {
    values: Cell<usize>,
    problem: RefCell<Option<Problem>>,
    empty: RefCell<Vec<Path>>,
    nul: RefCell<Vec<Path>>,
}

/// What ends the walk.
enum Problem {
    NoMapping,
    Empty,
    Deep,
    Many,
    Tag(String),
    Merge,
    Twice(String),
}

impl Problem {
    fn mistake(self, source: &Source, place: (usize, usize)) -> Mistake {
        let length = token(source.line(place.0), place.1);
        let tell = |what: &str, note: &str, help: &str| source.mistake(place, length, what, note, &[help]);
        match self {
            Self::Empty => Mistake::whole(
                source.path(),
                "this file is empty",
                &["rollgate init prints an inventory to begin with; rollgate man inventory explains it"],
            ),
            Self::NoMapping => tell(
                "this file does not begin with a key",
                "this is no mapping",
                "an inventory begins with `cluster: NAME`, a procedure with `procedure: NAME`",
            ),
            Self::Deep => tell(
                &format!("values nest more than {MOST_DEEP} deep"),
                "too deep here",
                "is a `]` or `}` missing above?",
            ),
            Self::Many => tell(
                "aliases make this file too large",
                "repeated too often",
                "write a check or group once under its name and refer to the name",
            ),
            Self::Tag(tag) => tell(
                &format!("`!{tag}` at the start of a value is a YAML tag"),
                "tag here",
                &format!("to leave out nodes, write it in quotes: \"!{tag}\""),
            ),
            Self::Merge => tell(
                "merge keys (`<<:`) are not supported",
                "here",
                "variables for several nodes belong to a group: `groups: { NAME: { vars: ... } }`",
            ),
            Self::Twice(key) => tell(
                &format!("`{key}` is written twice in the same mapping"),
                "second time here",
                "delete one of them; which one should count is not for rollgate to guess",
            ),
        }
    }
}

#[derive(Clone, Copy)]
enum Trail<'t> {
    Top,
    Key(&'t Trail<'t>, &'t str),
    Index(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    fn path(&self) -> Path {
        match self {
            Self::Top => Path::default(),
            Self::Key(above, key) => above.path().key(key),
            Self::Index(above, index) => above.path().index(*index),
        }
    }
}

/// A value on the walk.
#[derive(Clone, Copy)]
struct Spot<'w> {
    walk: &'w Walk,
    trail: Trail<'w>,
    depth: usize,
}

impl Spot<'_> {
    fn stop<E: serde::de::Error>(&self, problem: Problem) -> E {
        self.walk.problem.borrow_mut().get_or_insert(problem);
        E::custom("refused")
    }

    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let values = self.walk.values.get() + 1;
        self.walk.values.set(values);
        if values > MOST_VALUES { Err(self.stop(Problem::Many)) } else { Ok(()) }
    }

    fn scalar<E: serde::de::Error>(&self) -> Result<(), E> {
        if matches!(self.trail, Trail::Top) {
            return Err(self.stop(Problem::NoMapping));
        }
        self.count()
    }

    fn nothing<E: serde::de::Error>(&self) -> Result<(), E> {
        if matches!(self.trail, Trail::Top) {
            return Err(self.stop(Problem::Empty));
        }
        self.walk.empty.borrow_mut().push(self.trail.path());
        self.count()
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth >= MOST_DEEP { Err(self.stop(Problem::Deep)) } else { self.count() }
    }
}

impl<'de> DeserializeSeed<'de> for Spot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Spot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') {
            self.walk.nul.borrow_mut().push(self.trail.path());
        }
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.nothing()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.nothing()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if matches!(self.trail, Trail::Top) {
            return Err(self.stop(Problem::NoMapping));
        }
        self.deeper()?;
        let mut index = 0;
        loop {
            let trail = Trail::Index(&self.trail, index);
            if list.next_element_seed(Spot { trail, depth: self.depth + 1, ..self })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key_seed(Key { spot: self, seen: &seen })? {
            map.next_value_seed(Spot {
                trail: Trail::Key(&self.trail, &key),
                depth: self.depth + 1,
                ..self
            })?;
            seen.insert(key);
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, value: A) -> Result<(), A::Error> {
        let (tag, _) = value.variant::<String>()?;
        Err(self.stop(Problem::Tag(tag)))
    }
}

/// A key, with those that stand before it in the same mapping.
struct Key<'w> {
    spot: Spot<'w>,
    seen: &'w HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain word as a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if key == "<<" {
            return Err(self.spot.stop(Problem::Merge));
        }
        if self.seen.contains(key) {
            return Err(self.spot.stop(Problem::Twice(key.to_owned())));
        }
        Ok(key.to_owned())
    }
}
