//! A zip archive whose members are stored as they are, as `torch.save` writes it (APPNOTE.TXT 4.3; no ZIP64, no compression).

use crate::error::{Error, Result};
use crate::files::Mapped;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

const END: [u8; 4] = *b"PK\x05\x06";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// The end record without its comment.
const END_LEN: usize = 22;
/// A comment's length is 16 bits.
const END_REACH: usize = END_LEN + 65_535;
const ENTRY_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const AGAIN: &str = "the file is damaged or was not downloaded in full; download it again";

/// An open archive. Names are looked up and never become paths.
#[derive(Debug)]
pub struct Archive {
    place: String,
    bytes: Mapped,
    members: BTreeMap<String, Range<usize>>,
}

/// Little-endian numbers inside a part that has been read.
fn u16_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 2).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8)
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

impl Archive {
    /// Reads the list of members and checks that each lies inside the file.
    pub fn open(place: &str, bytes: Mapped) -> Result<Self> {
        let wrong = |what: String, hint: &str| Error::input(place, what, hint);
        let part = |range: Range<usize>| -> Result<Cow<'_, [u8]>> {
            if range.start > range.end || range.end > bytes.len() {
                return Err(wrong(format!("ends at byte {}, and a record of it would lie at {range:?}", bytes.len()), AGAIN));
            }
            bytes.part(range).map_err(Error::io(Path::new(place)))
        };
        let reach = part(bytes.len() - bytes.len().min(END_REACH)..bytes.len())?;
        let Some(end) = reach.windows(END_LEN).rposition(|w| w[..4] == END) else {
            let old = part(0..bytes.len().min(2))?.first() == Some(&0x80);
            let hint = match old {
                true => "torch before 1.6 wrote it; load it and save it again with a newer one",
                false => "an adapter is the folder with adapter_config.json, or a checkpoint of the DiaBlo authors' code",
            };
            return Err(wrong("is not a file that torch.save writes: it is no zip archive".into(), hint));
        };
        let end = &reach[end..];
        let (count, size, start) = (u16_at(end, 10), u32_at(end, 12), u32_at(end, 16));
        if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
            return Err(wrong("is a zip archive of 4 GiB or more, which is not read here".into(), "save the adapter alone"));
        }
        let list = part(start..start.saturating_add(size))?;
        let mut members = BTreeMap::new();
        let mut at = 0;
        for _ in 0..count {
            let Some(entry) = list.get(at..).filter(|e| e.len() >= ENTRY_LEN && e[..4] == ENTRY) else {
                return Err(wrong(format!("its list of members is cut off after {}", members.len()), AGAIN));
            };
            let (name_len, more) = (u16_at(entry, 28), u16_at(entry, 30) + u16_at(entry, 32));
            let Some(name) = entry.get(ENTRY_LEN..ENTRY_LEN + name_len) else {
                return Err(wrong(format!("its list of members is cut off after {}", members.len()), AGAIN));
            };
            let name = String::from_utf8_lossy(name).into_owned();
            let (flags, method) = (u16_at(entry, 8), u16_at(entry, 10));
            let (packed, len, local) = (u32_at(entry, 20), u32_at(entry, 24), u32_at(entry, 42));
            if flags & 1 != 0 || method != 0 || packed != len {
                return Err(wrong(format!("its member {name:?} is compressed or encrypted; torch.save stores members as they are"), ""));
            }
            let header = part(local..local.saturating_add(LOCAL_LEN))?;
            if header[..4] != LOCAL {
                return Err(wrong(format!("its member {name:?} is not where the list says"), AGAIN));
            }
            let first = local + LOCAL_LEN + u16_at(&header, 26) + u16_at(&header, 28);
            let range = first..first.saturating_add(len);
            if range.end > start {
                return Err(wrong(format!("its member {name:?} ends at byte {}, inside the list at its end", range.end), AGAIN));
            }
            if members.insert(name.clone(), range).is_some() {
                return Err(wrong(format!("its member {name:?} is there twice"), ""));
            }
            at += ENTRY_LEN + name_len + more;
        }
        drop((reach, list));
        Ok(Self { place: place.into(), bytes, members })
    }

    /// The members' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// A member's bytes, if it is there.
    pub fn member(&self, name: &str, limit: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let Some(range) = self.members.get(name) else { return Ok(None) };
        if range.len() > limit {
            let what = format!("its member {name:?} has {} bytes, above the limit of {limit}", range.len());
            return Err(Error::input(&self.place, what, ""));
        }
        self.bytes.part(range.clone()).map(Some).map_err(Error::io(Path::new(&self.place)))
    }
}
