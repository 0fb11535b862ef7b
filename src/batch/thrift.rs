//! Looks through a Parquet file's own structures, which are in Thrift's compact protocol, before the parquet crate reads them.
//!
//! The crate skips fields that it does not know by counting, and a list of booleans costs it no bytes: a footer of a hundred bytes can keep
//! it busy for hours. Here every list must have room for its elements in what is left, so that the work is bounded by the bytes; what no
//! writer of Parquet writes, a list of booleans, is refused. The crate takes a known field for what it should be, whatever the file says
//! that it is; so that both read the same, known fields must be what Parquet's definition (parquet.thrift, version 2.12) says.

use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;

/// What stands at the end of a file: the length of the footer and the magic number.
const TAIL: u64 = 8;
/// Bytes that are read of a page's header at first, and at most.
const HEADER: u64 = 4 << 10;
const LONGEST_HEADER: u64 = 64 << 20;
/// Structures and lists within one another.
const DEPTH: usize = 48;
/// The field of a page's header that holds the number of bytes of the page.
const PAGE_SIZE: i64 = 3;

/// What a field is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Whatever the file says.
    Any,
    Flag,
    Byte,
    Number,
    Double,
    Bytes,
    List(&'static Kind),
    /// A structure, by its fields' numbers from 1 on; a union is one.
    Fields(&'static [Kind]),
}

use Kind::{Any, Byte, Bytes, Double, Fields, Flag, List, Number};

const EMPTY: Kind = Fields(&[]);
const KEY_VALUES: Kind = List(&Fields(&[Bytes, Bytes]));
const STATISTICS: Kind = Fields(&[Bytes, Bytes, Number, Number, Bytes, Bytes, Flag, Flag, Number]);
const TIME: Kind = Fields(&[Flag, Fields(&[EMPTY; 3])]);
const INTEGER: Kind = Fields(&[Byte, Flag]);
const DECIMAL: Kind = Fields(&[Number; 2]);
const VARIANT: Kind = Fields(&[Byte]);
const GEOMETRY: Kind = Fields(&[Bytes]);
const GEOGRAPHY: Kind = Fields(&[Bytes, Number]);
const LOGICAL_TYPE: Kind = Fields(&[
    EMPTY, EMPTY, EMPTY, EMPTY, DECIMAL, EMPTY, TIME, TIME, Any, INTEGER, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, VARIANT, GEOMETRY, GEOGRAPHY,
    EMPTY,
]);
const SCHEMA_ELEMENT: Kind = Fields(&[Number, Number, Number, Bytes, Number, Number, Number, Number, Number, LOGICAL_TYPE]);
const SIZES: Kind = Fields(&[Number, List(&Number), List(&Number)]);
const GEOSPATIAL: Kind = Fields(&[Fields(&[Double; 8]), List(&Number)]);
const ENCODINGS: Kind = List(&Fields(&[Number; 3]));
const COLUMN: Kind = Fields(&[
    Number,
    List(&Number),
    List(&Bytes),
    Number,
    Number,
    Number,
    Number,
    KEY_VALUES,
    Number,
    Number,
    Number,
    STATISTICS,
    ENCODINGS,
    Number,
    Number,
    SIZES,
    GEOSPATIAL,
]);
const CHUNK: Kind = Fields(&[Bytes, Number, COLUMN, Number, Number, Number, Number, Any, Any]);
const SORTING: Kind = List(&Fields(&[Number, Flag, Flag]));
const ROW_GROUP: Kind = Fields(&[List(&CHUNK), Number, Number, SORTING, Number, Number, Number]);
const ORDERS: Kind = List(&Fields(&[EMPTY; 3]));
const FOOTER: &[Kind] = &[Number, List(&SCHEMA_ELEMENT), Number, List(&ROW_GROUP), KEY_VALUES, Bytes, ORDERS, Any, Any];
const DATA_PAGE: Kind = Fields(&[Number, Number, Number, Number, STATISTICS]);
const DATA_PAGE_2: Kind = Fields(&[Number, Number, Number, Number, Number, Number, Flag, STATISTICS]);
const DICTIONARY: Kind = Fields(&[Number, Number, Flag]);
const PAGE_HEADER: &[Kind] = &[Number, Number, Number, Number, DATA_PAGE, EMPTY, DICTIONARY, DATA_PAGE_2];

/// Whether the footer, where there is one, can be read in time.
pub(super) fn check_footer(file: &File) -> Result<(), String> {
    let size = file.len();
    // what is no Parquet file at all, or an encrypted one, is told by the crate
    let Some(tail) = size.checked_sub(TAIL) else { return Ok(()) };
    let bytes = file.get_bytes(tail, TAIL as usize).map_err(|e| e.to_string())?;
    if !bytes.ends_with(b"PAR1") {
        return Ok(());
    }
    let length = bytes.first_chunk().map_or(0, |length| u64::from(u32::from_le_bytes(*length)));
    let Some(start) = tail.checked_sub(length) else { return Ok(()) };
    let footer = file.get_bytes(start, length as usize).map_err(|e| e.to_string())?;
    walk(&footer, FOOTER).map(drop).map_err(|fault| format!("its footer {}", fault.said()))
}

/// Whether the headers of all pages of a column chunk can be read in time.
pub(super) fn check_pages(file: &File, (start, length): (u64, u64)) -> Result<(), String> {
    let (mut at, end) = (start, start.saturating_add(length).min(file.len()));
    while at < end {
        let header = page(file, at)?;
        at = at.saturating_add(header.bytes as u64).saturating_add(header.page_size);
    }
    Ok(())
}

/// The header of the page at `at`, however long it is.
fn page(file: &File, at: u64) -> Result<Walked, String> {
    let mut length = HEADER;
    loop {
        let there = length.min(file.len().saturating_sub(at));
        let bytes = file.get_bytes(at, there as usize).map_err(|e| e.to_string())?;
        match walk(&bytes, PAGE_HEADER) {
            Err(Fault::Short) if there == length && length < LONGEST_HEADER => length *= 8,
            other => return other.map_err(|fault| format!("the header of the page at byte {at} {}", fault.said())),
        }
    }
}

/// A structure that was walked through.
#[derive(Debug, PartialEq, Eq)]
struct Walked {
    /// Its length.
    bytes: usize,
    /// The value of its field [`PAGE_SIZE`], where that is a number.
    page_size: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It goes on after the bytes that are there.
    Short,
    Malformed,
}

impl Fault {
    fn said(&self) -> &'static str {
        match self {
            Self::Short => "ends too early, or has a list that is longer than itself",
            Self::Malformed => "is not what a writer of Parquet writes",
        }
    }
}

/// Walks through the structure that `bytes` begins with.
fn walk(bytes: &[u8], fields: &'static [Kind]) -> Result<Walked, Fault> {
    let mut walk = Walk { rest: bytes, depth: 0, page_size: 0 };
    walk.structure(fields)?;
    Ok(Walked { bytes: bytes.len() - walk.rest.len(), page_size: walk.page_size })
}

struct Walk<'a> {
    rest: &'a [u8],
    /// Structures and lists around what is next.
    depth: usize,
    page_size: u64,
}

impl Walk<'_> {
    fn structure(&mut self, fields: &'static [Kind]) -> Result<(), Fault> {
        self.enter()?;
        let mut id = 0i64;
        loop {
            let header = self.byte()?;
            let (delta, wire) = (header >> 4, header & 0xf);
            match (wire, delta) {
                (0, _) => break,
                (_, 0) => id = unzigzag(self.varint()?),
                _ => id += i64::from(delta),
            }
            if !(1..=i64::from(i16::MAX)).contains(&id) {
                return Err(Fault::Malformed);
            }
            let kind = fields.get(id as usize - 1).copied().unwrap_or(Any);
            if self.depth == 1 && id == PAGE_SIZE && matches!(kind, Number) && (4..=6).contains(&wire) {
                self.page_size = unzigzag(self.varint()?).max(0) as u64;
            } else if !(matches!(wire, 1 | 2) && matches!(kind, Any | Flag)) {
                // the value of a boolean field is the kind in its header
                self.value(wire, kind)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH { Err(Fault::Malformed) } else { Ok(()) }
    }

    /// A value that the file says is of the kind `wire`, and that should be a `kind`.
    fn value(&mut self, wire: u8, kind: Kind) -> Result<(), Fault> {
        match (wire, kind) {
            (3, Any | Byte) => self.skip(1),
            (4..=6, Any | Number) => self.varint().map(drop),
            (7, Any | Double) => self.skip(8),
            (8, Any | Bytes) => {
                let length = self.varint()?;
                self.skip(length)
            }
            (9 | 10, Any | List(_)) => {
                let header = self.byte()?;
                let long = header >> 4 == 15;
                let count = if long { self.varint()? } else { u64::from(header >> 4) };
                let element = if let List(element) = kind { *element } else { Any };
                self.elements(count, &[header & 0xf], element)
            }
            (11, Any) => match self.varint()? {
                0 => Ok(()),
                count => {
                    let kinds = self.byte()?;
                    self.elements(count, &[kinds >> 4, kinds & 0xf], Any)
                }
            },
            (12, Any) => self.structure(&[]),
            (12, Fields(fields)) => self.structure(fields),
            (13, Any) => self.skip(16),
            _ => Err(Fault::Malformed),
        }
    }

    /// Every element takes a byte at least; `wires` take turns.
    fn elements(&mut self, count: u64, wires: &[u8], kind: Kind) -> Result<(), Fault> {
        self.enter()?;
        if count > self.rest.len() as u64 {
            return Err(Fault::Short);
        }
        for wire in (0..count).flat_map(|_| wires) {
            // 1 and 2, booleans, have no bytes to the crate where it skips them
            self.value(*wire, kind)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Fault::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: u64) -> Result<(), Fault> {
        let count = usize::try_from(count).map_err(|_| Fault::Short)?;
        self.rest = self.rest.get(count..).ok_or(Fault::Short)?;
        Ok(())
    }

    /// A number in sevens of bits, the lowest first.
    fn varint(&mut self) -> Result<u64, Fault> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.byte()?;
            if shift >= u64::BITS {
                return Err(Fault::Malformed);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const NUMBERS: [Kind; 3] = [Number; 3];

    #[test]
    fn known_fields_are_what_they_should_be() {
        let number = [0x15, 2, 0];
        assert_eq!(walk(&number, &[Number]), Ok(Walked { bytes: 3, page_size: 0 }));
        static OTHERS: [[Kind; 1]; 6] = [[Flag], [Byte], [Double], [Bytes], [List(&Any)], [EMPTY]];
        for other in &OTHERS {
            assert_eq!(walk(&number, other), Err(Fault::Malformed), "{other:?}");
        }
        assert_eq!(walk(&[0x11, 0], &[Number]), Err(Fault::Malformed), "a boolean has no bytes, a number has");
        assert_eq!(walk(&[0x1c, 0x15, 2, 0, 0], &[Fields(&[Bytes])]), Err(Fault::Malformed), "within a structure");
        assert_eq!(walk(&[0x19, 0x15, 2, 0], &[List(&Bytes)]), Err(Fault::Malformed), "within a list");
        assert_eq!(walk(&[0x05, 1, 2, 0], &[]), Err(Fault::Malformed), "field -1");
    }

    #[test]
    fn structures_are_walked_to_their_end_and_no_further() {
        // i32 field 1 = 1; i32 field 3 = 300; binary field 4; list of two i32; a structure with a boolean; a map; stop; more
        let bytes = [0x15, 2, 0x25, 0xd8, 4, 0x18, 2, b'a', b'b', 0x19, 0x25, 2, 4, 0x1c, 0x11, 0, 0x1b, 1, 0x58, 2, 1, b'x', 0, 9, 9];
        assert_eq!(walk(&bytes, &NUMBERS), Ok(Walked { bytes: 23, page_size: 300 }));
        for end in 0..23 {
            assert_eq!(walk(&bytes[..end], &NUMBERS), Err(Fault::Short), "{end}");
        }
    }

    #[test]
    fn the_headers_of_all_pages_are_looked_at() {
        let mut file = tempfile::tempfile().unwrap();
        // two pages of 5000 bytes whose headers say so, one of them longer than what is read at first
        let long = [&[0x98, 0x90, 0x4e][..], &[b'x'; 10_000], &[0x05, 6, 0x90, 0x4e, 0]].concat();
        let pages = [&[0x35, 0x90, 0x4e, 0][..], &[1; 5000], &long, &[1; 5000]].concat();
        let hostile = [0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 7, 0];
        file.write_all(&[&pages[..], &hostile].concat()).unwrap();
        assert_eq!(check_pages(&file, (0, pages.len() as u64)), Ok(()));
        let fault = check_pages(&file, (0, u64::MAX)).unwrap_err();
        assert!(fault.contains(&format!("at byte {} ", pages.len())), "{fault}");
    }

    #[test]
    fn what_costs_more_than_its_bytes_is_refused() {
        let long = [0xff, 0xff, 0xff, 0xff, 7];
        let list_of = |kind: u8| [&[0x19, 0xf0 | kind][..], &long, &[0; 20]].concat();
        assert_eq!([5, 12].map(|kind| walk(&list_of(kind), &[])), [Err(Fault::Short), Err(Fault::Short)]);
        assert_eq!(walk(&[0x19, 0x21, 0x15, 2, 0], &[]), Err(Fault::Malformed), "a list of booleans");
        assert_eq!(walk(&[0x1b, 1, 0x15, 2, 0], &[]), Err(Fault::Malformed), "a map with booleans");
        assert_eq!(walk(&[0x1c; 1000], &[]), Err(Fault::Malformed), "too deep");
        assert_eq!(walk(&[[0x15].as_slice(), &[0x80; 12], &[0]].concat(), &[]), Err(Fault::Malformed), "a number too long");
    }
}
