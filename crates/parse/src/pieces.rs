//! From a body to its pieces, whatever its format.

use crate::piece::{BodyFormat, Piece};
use crate::{frames, lines};

/// Splits a body into messages and rejects.
///
/// Cannot fail: the ranges of the pieces are in order and cover `body` exactly, whatever its bytes. Takes time linear in
/// the body, and allocates only for a text that is not the body's own bytes (colour codes removed, JSON escapes decoded).
#[must_use]
pub fn pieces(format: BodyFormat, body: &[u8]) -> Pieces<'_> {
    Pieces { format, body, at: 0 }
}

/// The pieces of a body in order; see [`pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    format: BodyFormat,
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.at >= self.body.len() {
            return None;
        }
        let piece = match lines::reader(self.format) {
            Some(read) => lines::piece_at(self.body, self.at, read),
            None => frames::piece_at(self.body, self.at),
        };
        self.at = piece.range().end;
        Some(piece)
    }
}
