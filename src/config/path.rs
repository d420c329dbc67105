//! The way from the top of a document to one of its values.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// The value of a key.
    Key(String),
    /// An entry of a list, from 0.
    Index(usize),
}

/// The way to a value, such as `phases[0].drain[1].undo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Path(Vec<Segment>);

impl Path {
    /// Reads `phases[0].drain[1].undo` back; what is no index is part of a key.
    pub(crate) fn parse(text: &str) -> Self {
        let mut path = Self::default();
        for member in text.split('.').filter(|member| !member.is_empty()) {
            let (key, indices) = member.split_at(member.find('[').unwrap_or(member.len()));
            if !key.is_empty() {
                path = path.key(key);
            }
            for index in indices.split(['[', ']']).filter_map(|index| index.parse().ok()) {
                path = path.index(index);
            }
        }
        path
    }

    /// The value under a key of this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// An entry of this list.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// The steps down, from the top.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if depth == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_written() {
        let path = Path::default().key("phases").index(0).key("drain").index(1);
        assert_eq!(Path::parse("phases[0].drain[1]"), path);
        assert_eq!(path.to_string(), "phases[0].drain[1]");
    }
}
