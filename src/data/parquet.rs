//! Rows of a Parquet file as JSON, so that everything after it is the same as for other files.

use super::records::Record;
use crate::error::{Error, Result};
use crate::guard::caught;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

const AGAIN: &str = "download the file again";

/// Reads every row.
pub(super) fn read(bytes: Vec<u8>, place: &str) -> Result<Vec<Record>> {
    caught(|| rows(bytes, place)).map_err(|what| Error::input(place, format!("broken Parquet: {what}"), AGAIN))?
}

fn rows(bytes: Vec<u8>, place: &str) -> Result<Vec<Record>> {
    let fault = |e: parquet::errors::ParquetError| Error::input(place, format!("broken Parquet: {e}"), AGAIN);
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(fault)?;
    let mut records = Vec::new();
    for (index, row) in reader.get_row_iter(None).map_err(fault)?.enumerate() {
        records.push(Record { map: object(&row.map_err(fault)?), line: index + 1 });
    }
    if records.is_empty() {
        return Err(Error::input(place, "no rows: the table is empty", ""));
    }
    Ok(records)
}

fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(x) => (*x).into(),
        Field::Byte(x) => (*x).into(),
        Field::Short(x) => (*x).into(),
        Field::Int(x) => (*x).into(),
        Field::Long(x) => (*x).into(),
        Field::UByte(x) => (*x).into(),
        Field::UShort(x) => (*x).into(),
        Field::UInt(x) => (*x).into(),
        Field::ULong(x) => (*x).into(),
        Field::Float(x) => f64::from(*x).into(),
        Field::Double(x) => (*x).into(),
        Field::Str(x) => x.clone().into(),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => map.entries().iter().map(|(key, x)| (text(key), value(x))).collect::<Map<_, _>>().into(),
        // Dates, decimals and bytes are no text that anybody trains on.
        other => other.to_string().into(),
    }
}

fn text(key: &Field) -> String {
    match key {
        Field::Str(name) => name.clone(),
        other => other.to_string(),
    }
}
