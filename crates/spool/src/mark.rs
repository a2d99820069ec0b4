//! The two small files beside the segments: how far the log is consumed, and whose log it is.

use std::io;

use freshet_core::Position;

use crate::disk::{self, Disk};
use crate::segment::Fields;

const MARK_NAME: &str = "consumed";
const MARK_MAGIC: [u8; 8] = *b"freshmrk";
const INSTALL_ID_NAME: &str = "install-id";

/// The consumed mark. A mark that is missing or damaged counts as 0: reading again is safe, because the loader skips
/// what the destination already holds.
pub(crate) fn read_mark(disk: &dyn Disk) -> io::Result<Position> {
    Ok(disk::read_all(disk, MARK_NAME)?.and_then(|bytes| decode_mark(&bytes)).unwrap_or(0))
}

pub(crate) fn write_mark(disk: &dyn Disk, consumed: Position) -> io::Result<()> {
    let mut bytes = MARK_MAGIC.to_vec();
    bytes.extend(consumed.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    disk::replace(disk, MARK_NAME, &bytes)
}

fn decode_mark(bytes: &[u8]) -> Option<Position> {
    let (covered, checksum) = bytes.split_last_chunk()?;
    let mut fields = Fields(covered);
    let sound = u32::from_le_bytes(*checksum) == crc32fast::hash(covered) && fields.take()? == MARK_MAGIC;
    sound.then(|| fields.take().map(u64::from_le_bytes)).flatten()
}

/// The install id; `None` when it is missing or unreadable.
pub(crate) fn read_install_id(disk: &dyn Disk) -> io::Result<Option<u128>> {
    let text = disk::read_all(disk, INSTALL_ID_NAME)?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| text.len() == 32).and_then(|text| u128::from_str_radix(&text, 16).ok()))
}

pub(crate) fn write_install_id(disk: &dyn Disk, id: u128) -> io::Result<()> {
    disk::replace(disk, INSTALL_ID_NAME, format!("{id:032x}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_disk::FaultyDisk;

    #[test]
    fn a_mark_comes_back_or_counts_as_zero() {
        let disk = FaultyDisk::new(1);
        assert_eq!(read_mark(&disk).unwrap(), 0);
        write_mark(&disk, 77).unwrap();
        assert_eq!(read_mark(&disk).unwrap(), 77);
        disk::replace(&disk, MARK_NAME, b"freshmrk, or what is left of it").unwrap();
        assert_eq!(read_mark(&disk).unwrap(), 0);
    }

    #[test]
    fn an_install_id_comes_back_or_is_none() {
        let disk = FaultyDisk::new(1);
        assert_eq!(read_install_id(&disk).unwrap(), None);
        write_install_id(&disk, 0xabc).unwrap();
        assert_eq!(read_install_id(&disk).unwrap(), Some(0xabc));
        disk::replace(&disk, INSTALL_ID_NAME, b"abc").unwrap();
        assert_eq!(read_install_id(&disk).unwrap(), None);
    }
}
