//! The only place that knows the YAML library: text becomes typed values, or mistakes with their
//! place. What the library would let pass is found by [`walk`] before the typed parse.

mod locate;
mod walk;
mod words;

use serde::de::DeserializeOwned;

use super::mistake::Mistakes;
use super::path::Path;
use super::source::Source;
use super::surface;

pub(crate) use locate::{Aim, locate, token};

/// Levels of mappings and lists in each other.
pub(crate) const MOST_DEEP: usize = 64;

/// Reads a document. The error holds what is wrong with its form: everything that can be found in one
/// pass, else the first that stops the parser.
pub(crate) fn parse<T: DeserializeOwned>(source: &Source) -> Result<T, Mistakes> {
    if let Some(found) = surface::inspect(source) {
        return Err(found);
    }
    walk::refuse(source)?;
    serde_yaml::from_str(source.text()).map_err(|error| words::explain(source, &error).into())
}

/// Whether one text says what the whole says, but for some keys at its top, which have no value in it.
pub(crate) fn is_without(text: &str, whole: &str, keys: &[&str]) -> bool {
    let read = |text: &str| serde_yaml::from_str::<serde_yaml::Mapping>(text).ok();
    let is_meant = |key: &serde_yaml::Value| key.as_str().is_some_and(|key| keys.contains(&key));
    let (Some(mut text), Some(mut whole)) = (read(text), read(whole)) else { return false };
    whole.retain(|key, _| !is_meant(key));
    text.retain(|key, value| !(is_meant(key) && value.is_null()));
    text == whole
}

/// Where a value, or its key, stands; the nearest value above it where there is none.
pub(crate) fn nearest(source: &Source, path: &Path, aim: Aim) -> (usize, usize) {
    let mut segments = path.segments();
    let mut aim = aim;
    loop {
        if let Some(place) = locate(source.text(), segments, aim) {
            return place;
        }
        match segments.split_last() {
            Some((_, above)) => segments = above,
            None => return (1, 1),
        }
        aim = Aim::Value;
    }
}
