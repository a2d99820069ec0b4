//! The steps over bytes that several kinds of line take. All are linear and none can fail.
//!
//! They are marked `#[inline]`, as the small functions of every line are: an incremental build inlines no other across modules,
//! and reading a line would take three times as long in it.

use memchr::memmem;

/// Splits `text` behind the bytes at its start that fit.
#[inline]
pub(crate) fn split_while(text: &[u8], fits: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| !fits(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// The first word and what stands behind it, white space included.
#[inline]
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    split_while(text.trim_ascii_start(), |byte| !byte.is_ascii_whitespace())
}

/// What stands before and behind the first `mark`.
#[inline]
pub(crate) fn split_once<'t>(text: &'t [u8], mark: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memmem::find(text, mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// What stands before and behind the last `mark`.
#[inline]
pub(crate) fn rsplit_once<'t>(text: &'t [u8], mark: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memmem::rfind(text, mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// `None` for an empty field.
#[inline]
pub(crate) fn filled(field: &[u8]) -> Option<&[u8]> {
    (!field.is_empty()).then_some(field)
}

/// Which bytes may stand in the key of a `key=value` pair: letters, digits and `_-.#@`.
const KEY_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let ascii = byte as u8;
        table[byte] = ascii.is_ascii_alphanumeric() || matches!(ascii, b'_' | b'-' | b'.' | b'#' | b'@');
        byte += 1;
    }
    table
};

/// How long the key is when `text` begins with `key=`.
#[inline]
pub(crate) fn key_length(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| !KEY_BYTES[usize::from(byte)])?;
    (end > 0 && text[end] == b'=').then_some(end)
}
