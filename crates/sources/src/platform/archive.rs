//! A month of the audit trail: a file at a signed address, which the API hands out together with its size and checksum.
//!
//! The address opens the file for whoever has it, and for nothing else: it is in no error and no log, and the API's token never goes
//! there. So the file is fetched with a client of its own.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use freshet_core::Secret;
use freshet_web::{Client, Peer, WebLimits};
use md5::Digest as _;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::Value;
use url::{Host, Url};

/// Bytes of an archive as it is stored. A month of a large company has some MB.
const ARCHIVE_BYTES_MAX: usize = 128 << 20;

/// Bytes of an archive when it is unpacked.
const ARCHIVE_UNPACKED_BYTES_MAX: u64 = 256 << 20;

/// Time for the whole file.
const FETCH_WITHIN: Duration = Duration::from_secs(600);

/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where an archive is, and what it has to be.
pub struct Archive {
    address: Secret,
    bytes: u64,
    checksum: String,
}

/// Why an archive cannot be read. The address is in none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The API's answer has no address, size or checksum.
    #[error("the answer about it has no {0}; see whether `api_url` is right")]
    Missing(&'static str),
    /// The address is none that may be asked.
    #[error("its address is not one that begins with https://; see whether `api_url` is right")]
    Address,
    /// No request can be made, or none is answered.
    #[error("it cannot be fetched: {0}; try again later, or see to the network and the variable HTTPS_PROXY")]
    Unanswered(String),
    /// The place where it lies says no. Signed addresses hold for some minutes only.
    #[error("it cannot be fetched: the place where it lies answers {status}; try again, which asks for a new address")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// What came is not what the API says of it.
    #[error(
        "what came is not the archive: size or checksum is another than Heroku says ({bytes} bytes came, {expected} were expected); try again"
    )]
    Damaged {
        /// Bytes that came.
        bytes: u64,
        /// Bytes that it has by the API.
        expected: u64,
    },
    /// A checksum of a kind that is not known.
    #[error("its checksum is of a kind that this version does not know ({length} characters); please report it")]
    Checksum {
        /// How long it is.
        length: usize,
    },
    /// It cannot be unpacked within the limit.
    #[error("it does not unpack to at most {} MiB", ARCHIVE_UNPACKED_BYTES_MAX >> 20)]
    Packed,
    /// There is no list of events in it.
    #[error("it is no JSON with a list of entries; please report it")]
    NoEntries,
}

impl Archive {
    /// What the API says of an archive.
    ///
    /// # Errors
    /// It does not say enough, or the address may not be asked.
    pub fn of(answer: &Value) -> Result<Self, ArchiveError> {
        let address = answer["url"].as_str().ok_or(ArchiveError::Missing("address"))?;
        let bytes = answer["size"].as_u64().ok_or(ArchiveError::Missing("size"))?;
        let checksum = answer["checksum"].as_str().ok_or(ArchiveError::Missing("checksum"))?;
        peer_of(address)?;
        // Some write the kind before it.
        let checksum = checksum.rsplit_once(':').map_or(checksum, |(_, checksum)| checksum).trim().to_ascii_lowercase();
        if !matches!(checksum.len(), 32 | 40 | 64) {
            return Err(ArchiveError::Checksum { length: checksum.len() });
        }
        Ok(Self { address: Secret::new(address.to_owned()), bytes, checksum })
    }

    /// Fetches the file and gives its events, in no order.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub async fn events(&self) -> Result<Vec<Value>, ArchiveError> {
        let limits = WebLimits { request_within: FETCH_WITHIN, body_bytes_max: ARCHIVE_BYTES_MAX, ..WebLimits::default() };
        let unanswered = |words: String| {
            // Some errors name what was asked for.
            ArchiveError::Unanswered(if words.contains("://") { "the connection failed".to_owned() } else { words })
        };
        let address = self.address.reveal();
        let client = Client::new(peer_of(address)?, Client::USER_AGENT, limits).map_err(|trouble| unanswered(trouble.to_string()))?;
        let answer = client.send(client.get(address)).await.map_err(|trouble| unanswered(trouble.to_string()))?;
        if answer.status != 200 {
            return Err(ArchiveError::Refused { status: answer.status });
        }
        self.read(&answer.body)
    }

    /// The events in the file.
    fn read(&self, file: &[u8]) -> Result<Vec<Value>, ArchiveError> {
        let unpacked = if file.starts_with(&GZIP) { Some(gunzip(file)) } else { None };
        // Which of the two is measured, Heroku does not say; what fits both numbers is whole either way.
        let is_whole = self.fits(file) || unpacked.as_ref().is_some_and(|unpacked| unpacked.as_ref().is_ok_and(|bytes| self.fits(bytes)));
        if !is_whole {
            return Err(ArchiveError::Damaged { bytes: file.len() as u64, expected: self.bytes });
        }
        let unpacked = unpacked.transpose()?;
        match serde_json::from_slice(unpacked.as_deref().unwrap_or(file)) {
            Ok(Value::Array(events)) => Ok(events),
            Ok(mut root) => wrapped(&mut root).ok_or(ArchiveError::NoEntries),
            Err(_) => Err(ArchiveError::NoEntries),
        }
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        let found = match self.checksum.len() {
            64 => hex(digest(&SHA256, bytes).as_ref()),
            40 => hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref()),
            _ => hex(md5::Md5::digest(bytes).as_ref()),
        };
        bytes.len() as u64 == self.bytes && found == self.checksum
    }
}

/// The list in an object that holds it as `entries` or `events`, as the audit trail does.
pub(super) fn wrapped(root: &mut Value) -> Option<Vec<Value>> {
    ["entries", "events"].into_iter().find_map(|name| match root.get_mut(name)?.take() {
        Value::Array(events) => Some(events),
        _ => None,
    })
}

/// Who is asked. Only this machine may be asked without TLS.
fn peer_of(address: &str) -> Result<Peer, ArchiveError> {
    let url = Url::parse(address).map_err(|_| ArchiveError::Address)?;
    let is_local = match url.host() {
        Some(Host::Ipv4(host)) => host.is_loopback(),
        Some(Host::Ipv6(host)) => host.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(Peer::Remote),
        "http" if is_local => Ok(Peer::Local),
        _ => Err(ArchiveError::Address),
    }
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(packed).take(ARCHIVE_UNPACKED_BYTES_MAX + 1);
    reader.read_to_end(&mut unpacked).map_err(|_| ArchiveError::Packed)?;
    if unpacked.len() as u64 > ARCHIVE_UNPACKED_BYTES_MAX { Err(ArchiveError::Packed) } else { Ok(unpacked) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    const TEXT: &[u8] = br#"{"entries":[{"id":"b"},{"id":"a"}]}"#;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn archive(bytes: &[u8], checksum: String) -> Archive {
        Archive::of(&json!({ "url": "https://x.example/a?signature=hunter2", "size": bytes.len(), "checksum": checksum })).unwrap()
    }

    fn sha256(bytes: &[u8]) -> String {
        hex(digest(&SHA256, bytes).as_ref())
    }

    #[test]
    fn what_is_whole_is_read() {
        let (file, expected) = (packed(TEXT), Ok(vec![json!({ "id": "b" }), json!({ "id": "a" })]));
        assert_eq!(archive(&file, sha256(&file)).read(&file), expected);
        assert_eq!(archive(TEXT, sha256(TEXT)).read(&file), expected, "measured unpacked");
        assert_eq!(archive(TEXT, sha256(TEXT).to_uppercase()).read(TEXT), expected, "not packed at all");
        assert_eq!(archive(TEXT, format!("sha256:{}", sha256(TEXT))).read(TEXT), expected);
        assert_eq!(archive(TEXT, hex(md5::Md5::digest(TEXT).as_ref())).read(TEXT), expected);
        assert_eq!(archive(TEXT, hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, TEXT).as_ref())).read(TEXT), expected);
        let list = br#"[{"id":"a"}]"#;
        assert_eq!(archive(list, sha256(list)).read(list), Ok(vec![json!({ "id": "a" })]));
    }

    #[test]
    fn what_is_not_the_archive_is_refused() {
        let file = packed(TEXT);
        let good = archive(&file, sha256(&file));
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(good.read(&bad), Err(ArchiveError::Damaged { bytes: file.len() as u64, expected: file.len() as u64 }), "byte {at}");
            assert!(matches!(good.read(&file[..at]), Err(ArchiveError::Damaged { .. })), "cut at {at}");
        }
        let short = Archive { bytes: good.bytes + 1, ..archive(&file, sha256(&file)) };
        assert!(matches!(short.read(&file), Err(ArchiveError::Damaged { .. })), "another size");
        for nothing in [&b"{}"[..], b"{\"entries\":{}}", b"7", b"x"] {
            assert_eq!(archive(nothing, sha256(nothing)).read(nothing), Err(ArchiveError::NoEntries));
        }
        let half = file[..file.len() - 9].to_vec();
        assert_eq!(archive(&half, sha256(&half)).read(&half), Err(ArchiveError::Packed));
    }

    #[test]
    fn addresses_and_checksums_have_to_make_sense() {
        let of = |url: Value, size: Value, checksum: Value| Archive::of(&json!({ "url": url, "size": size, "checksum": checksum })).err();
        let (url, size, sum) = (json!("https://x.example/hunter2"), json!(1), json!("0".repeat(64)));
        assert_eq!(of(url.clone(), size.clone(), sum.clone()), None);
        assert_eq!(of(json!("http://127.0.0.1:1/a"), size.clone(), sum.clone()), None);
        assert_eq!(of(json!(null), size.clone(), sum.clone()), Some(ArchiveError::Missing("address")));
        assert_eq!(of(url.clone(), json!(null), sum.clone()), Some(ArchiveError::Missing("size")));
        assert_eq!(of(url.clone(), size.clone(), json!(null)), Some(ArchiveError::Missing("checksum")));
        assert_eq!(of(url, size.clone(), json!("abc")), Some(ArchiveError::Checksum { length: 3 }));
        for wrong in ["http://x.example/hunter2", "ftp://127.0.0.1/hunter2", "hunter2", ""] {
            assert_eq!(of(json!(wrong), size.clone(), sum.clone()), Some(ArchiveError::Address));
        }
    }

    #[tokio::test]
    async fn errors_keep_the_address_to_themselves() {
        // Nobody listens on port 1.
        let archive =
            Archive::of(&json!({ "url": "http://127.0.0.1:1/a?signature=hunter2", "size": 1, "checksum": "0".repeat(64) })).unwrap();
        let error = archive.events().await.unwrap_err();
        assert!(matches!(&error, ArchiveError::Unanswered(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
