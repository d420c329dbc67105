//! The line and column of any value or key. The library keeps positions for errors only, so the walk to
//! a place ends there with an error on purpose. It runs when there is a mistake to show.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::path::Segment;

/// What of a place is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The value itself.
    Value,
    /// The key before it; for an entry of a list the entry.
    Key,
}

/// Line and column, from 1, of what stands at a path; `None` where nothing does. The library reads the
/// whole text before it gives anything, so that a part is tried first where that is long.
pub(crate) fn locate(text: &str, segments: &[Segment], aim: Aim) -> Option<(usize, usize)> {
    for part in [1 << 14, 1 << 17] {
        if let Some(end) = text.get(..part).and_then(|part| part.rfind('\n')) {
            let lines = text[..end].matches('\n').count();
            let found = locate_in(&text[..end], segments, aim);
            // What is cut off may end in the middle of the value that is looked for.
            if let Some(place) = found.filter(|(line, _)| *line < lines) {
                return Some(place);
            }
        }
    }
    locate_in(text, segments, aim)
}

fn locate_in(text: &str, segments: &[Segment], aim: Aim) -> Option<(usize, usize)> {
    let reached = Cell::new(false);
    let goal = Goal { segments, aim, reached: &reached };
    let error = goal.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let place = error.location().filter(|_| reached.get())?;
    Some((place.line(), place.column()))
}

/// How many characters belong to the word or quoted text that begins at a column.
pub(crate) fn token(line: &str, column: usize) -> usize {
    let rest: Vec<char> = line.chars().skip(column - 1).collect();
    let length = match rest.first() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            rest.iter()
                .skip(1)
                .position(|c| {
                    let closes = c == quote && !escaped;
                    escaped = *c == '\\' && *quote == '"' && !escaped;
                    closes
                })
                .map_or(rest.len(), |at| at + 2)
        }
        None | Some('[' | '{' | '|' | '>') => 1,
        Some(_) => {
            let in_flow = line.chars().take(column - 1).any(|c| c == '[' || c == '{');
            (0..rest.len())
                .find(|&at| {
                    let next = rest.get(at + 1);
                    match rest[at] {
                        ':' => next.is_none_or(|c| c.is_whitespace()),
                        '#' => at > 0 && rest[at - 1] == ' ',
                        ',' | ']' | '}' => in_flow,
                        _ => false,
                    }
                })
                .unwrap_or(rest.len())
        }
    };
    let end = rest.iter().take(length).rposition(|c| !c.is_whitespace()).map_or(1, |at| at + 1);
    end.max(1)
}

#[derive(Clone, Copy)]
struct Goal<'g> {
    segments: &'g [Segment],
    aim: Aim,
    reached: &'g Cell<bool>,
}

impl Goal<'_> {
    fn arrive<E: serde::de::Error>(&self) -> E {
        self.reached.set(true);
        E::custom("here")
    }

    /// A scalar on the way: the goal itself, or a dead end.
    fn scalar<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.segments.is_empty() { Err(self.arrive()) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Goal<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Goal<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
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

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.segments.split_first() else { return Err(self.arrive()) };
        if let Segment::Index(index) = first {
            for _ in 0..*index {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
            }
            list.next_element_seed(Goal { segments: rest, ..self })?;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.segments.split_first() else { return Err(self.arrive()) };
        let Segment::Key(wanted) = first else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let at_key = rest.is_empty() && self.aim == Aim::Key;
        while let Some(found) = map.next_key_seed(Key { wanted, arrive: at_key.then_some(self) })? {
            if found {
                map.next_value_seed(Goal { segments: rest, ..self })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Key<'g> {
    wanted: &'g str,
    arrive: Option<Goal<'g>>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<bool, E> {
        match self.arrive {
            Some(goal) if text == self.wanted => Err(goal.arrive()),
            _ => Ok(text == self.wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::path::Path;
    use super::*;

    const TEXT: &str = "a: 1\nnodes:\n  - name: x\n  - name: y\n    host:\n    tags: [q, \"r s\"]\n";

    #[test]
    fn keys_values_and_entries_are_found() {
        let node = Path::default().key("nodes").index(1);
        let at = |path: &Path, aim| locate(TEXT, path.segments(), aim);
        assert_eq!(at(&node, Aim::Value), Some((4, 5)));
        assert_eq!(at(&node.key("host"), Aim::Key), Some((5, 5)));
        assert_eq!(at(&node.key("host"), Aim::Value), Some((5, 10)));
        assert_eq!(at(&node.key("tags").index(1), Aim::Value), Some((6, 15)));
        assert_eq!(at(&node.key("port"), Aim::Key), None);
        assert_eq!(at(&Path::default().key("nodes").index(7), Aim::Value), None);
    }

    #[test]
    fn words_end_where_yaml_ends_them() {
        assert_eq!(token("    tags: [q, \"r s\"]", 15), 5);
        assert_eq!(token("    tags: [q, \"r s\"]", 12), 1);
        assert_eq!(token("a: b c # d", 4), 3);
        assert_eq!(token("hots: 1", 1), 4);
        assert_eq!(token("a: 'x", 4), 2);
        assert_eq!(token("", 5), 1);
    }
}
