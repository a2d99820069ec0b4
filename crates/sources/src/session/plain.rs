//! Lines of plain text, with a NUL byte now and then as a sign of life.

/// Bytes of one line. Logplex cuts log lines at 10,000 bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Finds lines in bytes that come in any pieces. A line that its stream does not finish is none.
#[derive(Debug, Default)]
pub(super) struct Plain {
    line: Vec<u8>,
}

impl Plain {
    /// Takes the next bytes; complete lines go to `found`, without their newline.
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Vec<u8>>) {
        for &byte in bytes {
            match byte {
                // Signs of life come between lines; a NUL within a line belongs to it.
                0 if self.line.is_empty() => {}
                b'\n' if self.line.is_empty() => {}
                b'\n' => found.push(std::mem::take(&mut self.line)),
                _ => self.line.push(byte),
            }
            if self.line.len() >= LINE_BYTES_MAX {
                found.push(std::mem::take(&mut self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut machine, mut found) = (Plain::default(), Vec::new());
        for part in parts {
            machine.push(part, &mut found);
        }
        found
    }

    #[test]
    fn signs_of_life_are_no_lines() {
        assert_eq!(lines(&[b"\0\0a\n\0b\0c\n\0\n\0", b"not finished"]), [b"a".to_vec(), b"b\0c".to_vec()]);
        assert_eq!(lines(&[&vec![b'x'; 2 * LINE_BYTES_MAX]]).concat().len(), 2 * LINE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(stream in prop::collection::vec(prop::sample::select(b"ab\0\n\r".to_vec()), 0..200), cut in 1usize..9) {
            let parts: Vec<&[u8]> = stream.chunks(cut).collect();
            prop_assert_eq!(lines(&parts), lines(&[&stream]));
        }
    }
}
