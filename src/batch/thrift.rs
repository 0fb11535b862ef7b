//! Looks through a Parquet file's own structures, which are in Thrift's compact protocol, before the parquet crate reads them.
//!
//! The crate skips fields that it does not know by counting, and a list of booleans costs it no bytes: a footer of a hundred bytes can keep
//! it busy for hours. Here every list must have room for its elements in what is left, so that the work is bounded by the bytes; what no
//! writer of Parquet writes, a list of booleans, is refused. The crate takes a known field for what it should be, whatever the file says
//! that it is; so that both read the same, known fields must be what Parquet's definition (parquet.thrift, version 2.12) says.
//! A schema must not ask for more memory or stack than there is: the process would end, and nobody could catch that.

use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;

/// What stands at the end of a file: the length of the footer and the magic number.
const TAIL: u64 = 8;
/// Bytes that are read of a page's header at first, and at most.
const HEADER: u64 = 4 << 10;
const LONGEST_HEADER: u64 = 64 << 20;
/// Structures and lists within one another.
const DEPTH: usize = 48;
/// Groups of a schema within one another; the crate calls itself for each.
const GROUPS: usize = 64;
/// Bytes of the paths of all columns: the crate holds each with the names of all groups around it.
const PATHS: u64 = 64 << 20;
/// Bytes that a name takes in a path besides its own.
const NAME: u64 = 32;

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
    /// An element of the schema, a structure; it is kept.
    Schema(&'static [Kind]),
    /// Bytes: the name of an element.
    Name,
    /// A number: the elements that an element holds.
    Children,
    /// A number: the bytes of a page; it is kept.
    PageSize,
}

use Kind::{Any, Byte, Bytes, Children, Double, Fields, Flag, List, Name, Number, PageSize, Schema};

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
const SCHEMA_ELEMENT: Kind = Schema(&[Number, Number, Number, Name, Children, Number, Number, Number, Number, LOGICAL_TYPE]);
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
const PAGE_HEADER: &[Kind] = &[Number, Number, PageSize, Number, DATA_PAGE, EMPTY, DICTIONARY, DATA_PAGE_2];

/// Whether the footer, where there is one, can be read in time and within the memory.
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
    walk(&footer, FOOTER).and_then(|found| check_schema(&found.schema)).map_err(|fault| format!("its footer {}", fault.said()))
}

/// Whether the groups of a schema, whose elements come depth first, hold no more elements than there are and are not too deep: the crate
/// makes room for all that a group says that it holds.
fn check_schema(schema: &[Element]) -> Result<(), Fault> {
    // of each group around the next element: how many of its own are still to come, and the bytes of its path
    let mut around: Vec<(u64, u64)> = Vec::new();
    let (mut promised, mut paths) = (0, 0);
    for (element, left) in schema.iter().zip((0..schema.len() as u64).rev()) {
        while around.last().is_some_and(|(to_come, _)| *to_come == 0) {
            around.pop();
        }
        let mut path = element.name + NAME;
        if let Some((to_come, outer)) = around.last_mut() {
            *to_come -= 1;
            promised -= 1;
            path += *outer;
        }
        let children = u64::try_from(element.children).map_err(|_| Fault::Malformed)?;
        promised += children;
        if promised > left {
            return Err(Fault::Short);
        }
        if children == 0 {
            paths += path;
        } else {
            around.push((children, path));
        }
        if around.len() > GROUPS || paths > PATHS {
            return Err(Fault::Malformed);
        }
    }
    Ok(())
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
#[derive(Debug, Default, PartialEq, Eq)]
struct Walked {
    /// Its length.
    bytes: usize,
    /// Bytes of the page that it is the header of.
    page_size: u64,
    /// The elements of its schema, in their order.
    schema: Vec<Element>,
}

/// An element of a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Element {
    /// Bytes of its name.
    name: u64,
    /// The elements that it says it holds; none where it is a column.
    children: i32,
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
    let mut walk = Walk { rest: bytes, depth: 0, found: Walked::default() };
    walk.structure(fields)?;
    Ok(Walked { bytes: bytes.len() - walk.rest.len(), ..walk.found })
}

struct Walk<'a> {
    rest: &'a [u8],
    /// Structures and lists around what is next.
    depth: usize,
    found: Walked,
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
            // the value of a boolean field is the kind in its header
            if !(matches!(wire, 1 | 2) && matches!(kind, Any | Flag)) {
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
            (4..=6, PageSize) => {
                self.found.page_size = self.int()?.max(0) as u64;
                Ok(())
            }
            (4..=6, Children) => {
                let children = self.int()?;
                self.element(|element| element.children = children);
                Ok(())
            }
            (7, Any | Double) => self.skip(8),
            (8, Any | Bytes | Name) => {
                let length = self.varint()?;
                if matches!(kind, Name) {
                    self.element(|element| element.name = length);
                }
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
            (12, Schema(fields)) => {
                self.found.schema.push(Element::default());
                self.structure(fields)
            }
            (13, Any) => self.skip(16),
            _ => Err(Fault::Malformed),
        }
    }

    /// Takes note of something about the element of the schema in work.
    fn element(&mut self, note: impl FnOnce(&mut Element)) {
        if let Some(element) = self.found.schema.last_mut() {
            note(element);
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

    /// A number of 32 bits; like the crate, of a longer one the lowest.
    fn int(&mut self) -> Result<i32, Fault> {
        Ok(unzigzag(self.varint()?) as i32)
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

    const SIZED: [Kind; 3] = [Number, Number, PageSize];

    #[test]
    fn known_fields_are_what_they_should_be() {
        let number = [0x15, 2, 0];
        assert_eq!(walk(&number, &[Number]), Ok(Walked { bytes: 3, ..Walked::default() }));
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
        assert_eq!(walk(&bytes, &SIZED), Ok(Walked { bytes: 23, page_size: 300, ..Walked::default() }));
        for end in 0..23 {
            assert_eq!(walk(&bytes[..end], &SIZED), Err(Fault::Short), "{end}");
        }
    }

    /// Otherwise a page of 2^32 + 300 bytes would end our look at the pages, and the crate would go on after 300.
    #[test]
    fn a_page_is_as_long_as_the_crate_takes_it_for() {
        let header = [0x35, 0xd8, 0x84, 0x80, 0x80, 0x20, 0];
        assert_eq!(walk(&header, PAGE_HEADER), Ok(Walked { bytes: 7, page_size: 300, ..Walked::default() }));
        assert_eq!(walk(&[0x35, 1, 0], PAGE_HEADER), Ok(Walked { bytes: 3, ..Walked::default() }), "-1");
    }

    #[test]
    fn the_elements_of_a_schema_are_kept() {
        // version 1; a root `m` of one element, which is `text`
        let footer = [&[0x15, 2, 0x19, 0x2c][..], b"\x48\x01m\x15\x02\x00", b"\x15\x0c\x25\x00\x18\x04text\x00", &[0]].concat();
        let schema = vec![Element { name: 1, children: 1 }, Element { name: 4, children: 0 }];
        assert_eq!(walk(&footer, FOOTER), Ok(Walked { bytes: footer.len(), page_size: 0, schema }));
    }

    #[test]
    fn a_schema_holds_what_it_says_and_no_more_than_can_be_held() {
        let tree = |children: &[i32]| check_schema(&children.iter().map(|&children| Element { name: 4, children }).collect::<Vec<_>>());
        assert_eq!([tree(&[]), tree(&[0]), tree(&[2, 1, 0, 2, 0, 0])], [Ok(()), Ok(()), Ok(())]);
        assert_eq!([tree(&[1, i32::MAX, 0]), tree(&[2, 1, 0, 3, 0, 0])], [Err(Fault::Short), Err(Fault::Short)]);
        assert_eq!(tree(&[2, 2, 0, 0]), Err(Fault::Short), "each has room, both together have not");
        assert_eq!(tree(&[1, -1, 0]), Err(Fault::Malformed));
        let deep = |groups| tree(&[vec![1; groups], vec![0]].concat());
        assert_eq!([deep(GROUPS), deep(GROUPS + 1)], [Ok(()), Err(Fault::Malformed)]);
        assert_eq!(tree(&[vec![1000], [1, 0].repeat(1000)].concat()), Ok(()), "side by side is not deep");
        let named = |columns: i32| {
            let groups = [Element { name: 1, children: 1 }, Element { name: 1 << 20, children: columns }];
            check_schema(&[&groups[..], &vec![Element::default(); columns as usize]].concat())
        };
        assert_eq!([named(10), named(100)], [Ok(()), Err(Fault::Malformed)], "a name of a megabyte in every path");
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
