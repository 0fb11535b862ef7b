//! Parquet files that no writer writes, byte by byte: the crate must not be asked for what ends the process or takes hours.

use super::*;

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n > 0x7f {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// A number that is not negative, as a field has it.
fn number(n: u64) -> Vec<u8> {
    varint(n << 1)
}

fn list(structures: &[Vec<u8>]) -> Vec<u8> {
    [vec![0xfc], varint(structures.len() as u64), structures.concat()].concat()
}

/// A group of the schema that says that it holds this many elements; the first one of a schema is its root.
fn group(children: u64) -> Vec<u8> {
    [&[0x35u8, 0, 0x18, 0, 0x15][..], &number(children), &[0]].concat()
}

/// The column `text`: required bytes.
fn text() -> Vec<u8> {
    b"\x15\x0c\x25\x00\x18\x04text\x00".to_vec()
}

/// One row of the column `text` in one page.
fn page(text: &str) -> Vec<u8> {
    let size = number(text.len() as u64 + 4);
    let header = [&[0x15u8, 0, 0x15][..], &size, &[0x15], &size, b"\x2c\x15\x02\x15\x00\x15\x06\x15\x06\x00\x00"].concat();
    [&header[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A row group of this many rows in the column `text`, which is the page of this length at the start of the file.
fn row_group(rows: u64, page: u64) -> Vec<u8> {
    let (rows, size) = (number(rows), number(page));
    let encodings_path_codec = b"\x19\x15\x00\x19\x18\x04text\x15\x00";
    let column = [&[0x15u8, 0x0c][..], encodings_path_codec, &[0x16], &rows, &[0x16], &size, &[0x16], &size, &[0x26, 8, 0]].concat();
    [&[0x19u8, 0x1c, 0x26, 0, 0x1c][..], &column, &[0, 0x16], &size, &[0x16], &rows, &[0]].concat()
}

fn parquet(body: &[u8], schema: &[Vec<u8>], row_groups: &[Vec<u8>]) -> Vec<u8> {
    let rows = number(row_groups.len() as u64);
    let footer = [&[0x15u8, 2, 0x19][..], &list(schema), &[0x16], &rows, &[0x19], &list(row_groups), &[0]].concat();
    [&b"PAR1"[..], body, &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

fn read(bytes: &[u8]) -> Result<(u64, u64), BatchError> {
    read_all(bytes, InputFormat::Parquet, Compression::None)
}

/// Of the first the crate would make room for 2^31 elements, for the second it would call itself until the stack is full.
#[test]
fn a_schema_that_would_end_the_process_is_refused() {
    let deep = |groups| [vec![group(1); groups], vec![text()]].concat();
    for schema in [vec![group(1), group(i32::MAX as u64), text()], deep(10_000), deep(100_000)] {
        let error = read(&parquet(&[], &schema, &[])).unwrap_err();
        assert!(error.code() == "input_damaged" && error.to_string().contains("its footer"), "{error}");
    }
    assert_eq!(read(&parquet(&[], &deep(1), &[])).unwrap(), (0, 0));
    // What is nested as deep as that can be read; its only column is called otherwise.
    assert_eq!(read(&parquet(&[], &deep(60), &[])).unwrap_err().code(), "missing_column");
}

/// The pages of all groups would be looked at, and read, as often as there are groups.
#[test]
fn row_groups_that_share_their_bytes_are_refused() {
    let page = page(&"x".repeat(1000));
    let of_groups = |groups| read(&parquet(&page, &[group(1), text()], &vec![row_group(1, page.len() as u64); groups]));
    assert_eq!(of_groups(1).unwrap(), (1, 0));
    let error = of_groups(2).unwrap_err();
    assert!(error.code() == "input_damaged" && error.to_string().contains("more bytes than the file"), "{error}");
    let of_none = parquet(&page, &[group(1), text()], &vec![row_group(0, page.len() as u64); 50]);
    assert_eq!(read(&of_none).unwrap(), (0, 0), "nothing is read of a group without rows");
}
