//! Rows as JSON lines: an object each, with the names of the columns. Bytes are Base64, moments RFC 3339.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use common::db::archive::{Column, Kind, Value, export::Part};
use serde_json::{Map, Value as Json};

/// How the time of a clock on a wall is written.
const WALL_CLOCK: &str = "%Y-%m-%dT%H:%M:%S%.f";

/// The rows as lines.
pub fn write(part: &Part) -> sqlx::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in &part.rows {
        for (nth, column) in part.columns.iter().enumerate() {
            lines.extend_from_slice(if nth == 0 { b"{\"" } else { b",\"" });
            lines.extend_from_slice(column.name.as_bytes());
            lines.extend_from_slice(b"\":");
            write_value(&mut lines, &column.value(row, nth)?)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
        }
        lines.extend_from_slice(b"}\n");
    }
    Ok(lines)
}

fn write_value(line: &mut Vec<u8>, value: &Value<'_>) -> serde_json::Result<()> {
    match value {
        Value::Null => line.extend_from_slice(b"null"),
        Value::Signed(number) => serde_json::to_writer(line, number)?,
        Value::Unsigned(number) => serde_json::to_writer(line, number)?,
        Value::Single(number) => serde_json::to_writer(line, number)?,
        Value::Double(number) => serde_json::to_writer(line, number)?,
        Value::Text(text) => serde_json::to_writer(line, text)?,
        Value::Bytes(bytes) => serde_json::to_writer(line, &STANDARD.encode(bytes))?,
        Value::Moment(moment) => {
            serde_json::to_writer(line, &moment.to_rfc3339_opts(SecondsFormat::Micros, true))?;
        }
        Value::WallClock(time) => serde_json::to_writer(line, &time.format(WALL_CLOCK).to_string())?,
    }
    Ok(())
}

/// A line that was read.
pub struct Line(Map<String, Json>);

impl Line {
    /// The object that a line is.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map(Self).map_err(|error| format!("it is no JSON object: {error}"))
    }

    /// Those of a table's columns that it has. One that the table does not have is refused.
    pub fn columns<'c>(&self, columns: &'c [Column]) -> Result<Vec<&'c Column>, String> {
        if let Some(strange) = self.0.keys().find(|&name| columns.iter().all(|column| column.name != *name)) {
            return Err(format!("this release knows no {strange:?} there: import it with a later release"));
        }
        Ok(columns.iter().filter(|column| self.0.contains_key(&column.name)).collect())
    }

    /// Its values for these columns, which have to be all that it has.
    pub fn values(mut self, columns: &[&Column]) -> Result<Vec<Value<'static>>, String> {
        let value = |column: &&Column| {
            let name = &column.name;
            let json = self.0.remove(name).ok_or_else(|| format!("it has no {name:?}"))?;
            value(column.kind, json).ok_or_else(|| format!("{name:?} cannot be read"))
        };
        let values = columns.iter().map(value).collect::<Result<_, _>>()?;
        match self.0.keys().next() {
            Some(name) => Err(format!("it has {name:?}, which the first line of its file does not have")),
            None => Ok(values),
        }
    }
}

fn value(kind: Kind, json: Json) -> Option<Value<'static>> {
    let text = json.as_str();
    Some(match kind {
        _ if json.is_null() => Value::Null,
        Kind::Signed => Value::Signed(json.as_i64()?),
        Kind::Unsigned => Value::Unsigned(json.as_u64()?),
        Kind::Single => Value::Single(json.as_f64()? as f32),
        Kind::Double => Value::Double(json.as_f64()?),
        Kind::Text => Value::Text(text?.to_owned().into()),
        Kind::Bytes => Value::Bytes(STANDARD.decode(text?).ok()?.into()),
        Kind::Moment => Value::Moment(DateTime::parse_from_rfc3339(text?).ok()?.with_timezone(&Utc)),
        Kind::WallClock => Value::WallClock(NaiveDateTime::parse_from_str(text?, WALL_CLOCK).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let moment = DateTime::from_timestamp_micros(1_764_440_000_123_456).unwrap();
        for (kind, value) in [
            (Kind::Signed, Value::Signed(i64::MIN)),
            (Kind::Unsigned, Value::Unsigned(u64::MAX)),
            (Kind::Single, Value::Single(0.1)),
            (Kind::Single, Value::Single(f32::MIN_POSITIVE)),
            (Kind::Double, Value::Double(f64::from(0.35_f32))),
            (Kind::Double, Value::Double(1.0 / 3e7)),
            (Kind::Text, Value::Text("\u{1F600} \"\n\0".into())),
            (Kind::Bytes, Value::Bytes(vec![0, 255, 10].into())),
            (Kind::Moment, Value::Moment(moment)),
            (Kind::WallClock, Value::WallClock(moment.naive_utc())),
            (Kind::WallClock, Value::WallClock(DateTime::from_timestamp(0, 0).unwrap().naive_utc())),
            (Kind::Text, Value::Null),
        ] {
            let mut line = Vec::new();
            write_value(&mut line, &value).unwrap();
            assert_eq!(super::value(kind, serde_json::from_slice(&line).unwrap()), Some(value));
        }
    }

    #[test]
    fn what_does_not_fit_a_column_is_refused() {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let columns = [column("id", Kind::Unsigned), column("name", Kind::Text)];
        let read = |line: &str| -> Result<_, String> {
            let line = Line::read(line.as_bytes())?;
            let columns = line.columns(&columns)?;
            line.values(&columns)
        };
        assert_eq!(read(r#"{"name":"Ada"}"#).unwrap(), [Value::Text("Ada".into())]);
        for (line, why) in [
            (r#"{"id":-1}"#, "\"id\" cannot be read"),
            (r#"{"name":7}"#, "\"name\" cannot be read"),
            (r#"{"id":1,"secret":2}"#, "no \"secret\" there"),
            (r#"[1]"#, "no JSON object"),
            (r#"{"id":1"#, "no JSON object"),
        ] {
            let refused = read(line).unwrap_err();
            assert!(refused.contains(why), "{line}: {refused}");
        }
    }
}
