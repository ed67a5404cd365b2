//! JSON without a tree: of a body only what can be a path is kept, the rest is checked and forgotten.
//!
//! A tree of any JSON value takes up to a hundred times the memory of its text, and what a body may take is bounded.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// Elements of a list that are kept; of more the number is enough to refuse them.
pub const MAX_ELEMENTS: usize = 100_000;

/// As much of a JSON value as a request can mean.
#[derive(Debug)]
pub enum Json {
    /// A string.
    Text(String),
    /// A list: its first [`MAX_ELEMENTS`], and how many there are.
    List(Vec<Json>, usize),
    /// An object. Its keys may begin with a capital, and of equal ones the last counts: so Go's decoder reads them.
    Object {
        /// The value of `path`.
        path: Option<Box<Json>>,
        /// The value of `paths`.
        paths: Option<Box<Json>>,
    },
    /// What no request is made of, in words.
    Other(&'static str),
}

impl Json {
    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::List(..) => "a list",
            Self::Object { .. } => "an object",
            Self::Other(kind) => kind,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let (mut elements, mut length) = (Vec::new(), 0);
        while let Some(element) = list.next_element()? {
            length += 1;
            if length <= MAX_ELEMENTS {
                elements.push(element);
            }
        }
        Ok(Json::List(elements, length))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let (mut path, mut paths) = (None, None);
        while let Some(key) = object.next_key::<String>()? {
            let value: Json = object.next_value()?;
            match key.as_str() {
                "path" | "Path" => path = Some(Box::new(value)),
                "paths" | "Paths" => paths = Some(Box::new(value)),
                _ => {}
            }
        }
        Ok(Json::Object { path, paths })
    }
}
