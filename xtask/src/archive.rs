//! A `.tar.gz` whose bytes depend on nothing but its content.

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt::Write as _};
use tar::{Builder, EntryType, Header};

/// The gzip header's word for "no system in particular".
const NO_SYSTEM: u8 = 255;

/// One file of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

/// Packs files under one folder: sorted by path, without times and owners.
pub(crate) fn pack(folder: &str, files: &BTreeMap<String, Entry>) -> anyhow::Result<Vec<u8>> {
    let gzip = GzBuilder::new().operating_system(NO_SYSTEM).write(Vec::new(), Compression::best());
    let mut archive = Builder::new(gzip);
    for (path, entry) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(entry.bytes.len() as u64);
        header.set_mode(if entry.executable { 0o755 } else { 0o644 });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("{folder}/{path}");
        archive
            .append_data(&mut header, &path, entry.bytes.as_slice())
            .with_context(|| format!("failed to pack {path}"))?;
    }
    Ok(archive.into_inner()?.finish()?)
}

/// The line that `sha256sum --check` reads.
pub(crate) fn checksum(name: &str, bytes: &[u8]) -> String {
    let mut line = String::new();
    for byte in Sha256::digest(bytes) {
        write!(line, "{byte:02x}").expect("a string takes every byte");
    }
    format!("{line}  {name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use tar::Archive;

    fn files() -> BTreeMap<String, Entry> {
        let entry = |text: &str, executable| Entry { bytes: text.into(), executable };
        BTreeMap::from([
            ("z.txt".to_owned(), entry("last", false)),
            ("bin/a".to_owned(), entry("first", true)),
        ])
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert_eq!(pack("a-1", &files()).unwrap(), pack("a-1", &files()).unwrap());
    }

    #[test]
    fn entries_are_sorted_and_bare_of_time_and_owner() {
        let bytes = pack("a-1", &files()).unwrap();
        let mut archive = Archive::new(GzDecoder::new(bytes.as_slice()));
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let owner = (header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            assert_eq!(owner, (0, 0, 0));
            seen.push((entry.path().unwrap().display().to_string(), header.mode().unwrap()));
        }
        assert_eq!(seen, [("a-1/bin/a".to_owned(), 0o755), ("a-1/z.txt".to_owned(), 0o644)]);
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        let expect = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.gz\n";
        assert_eq!(checksum("a.gz", b"abc"), expect);
    }
}
