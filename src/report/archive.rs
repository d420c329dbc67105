//! Packs files into a gzip'd tar that is the same for the same content, whoever packs it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive, relative, of harmless words.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Writes the members, in their order. All of them are their owner's alone, and have one time, in seconds since 1970.
pub fn pack<W: Write>(members: &[Member], time: u64, out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    for member in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(member.bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(time);
        archive.append_data(&mut header, &member.path, member.bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_content_is_the_same_archive() {
        let members = [("2026-11-21.1/a", "one"), ("2026-11-21.1/out/b", "")]
            .map(|(path, text)| Member { path: path.to_owned(), bytes: text.into() });
        let packed = pack(&members, 1_700_000_000, Vec::new()).unwrap();
        assert_eq!(packed, pack(&members, 1_700_000_000, Vec::new()).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(
                (entry.header().mode().unwrap(), entry.header().mtime().unwrap()),
                (0o600, 1_700_000_000)
            );
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((entry.path().unwrap().display().to_string(), text));
        }
        assert_eq!(
            found,
            [("2026-11-21.1/a".into(), "one".into()), ("2026-11-21.1/out/b".into(), String::new())]
        );
    }
}
