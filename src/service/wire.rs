//! Foreign JSON to documents: exact about what is wrong and where, and never more than a small multiple of the body in memory.
//!
//! Malformed JSON is `malformed` (400); JSON of another shape is `invalid` (422); what is too long is `too_large` (413).

use super::{
    error::{ApiError, ErrorBody},
    floods::Correction,
    queue::{Answer, Assessed},
};
use crate::{
    flood::Monitor,
    text::{self, Document, StreamKey},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

/// serde_json gives up at the same depth.
const DEEPEST: usize = 128;

/// What a request may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Longest text, bytes.
    pub(crate) text: usize,
    /// Most documents.
    pub(crate) documents: usize,
    /// Whether per-token scores were asked for.
    pub(crate) tokens: bool,
}

/// The body of `/v1/assess`.
#[derive(Debug, PartialEq)]
pub(crate) enum AssessRequest {
    One(Document),
    Many(Vec<Document>),
}

/// The answer to several documents.
#[derive(Debug, Serialize)]
pub(crate) struct Assessments {
    pub(crate) assessments: Vec<Entry>,
}

/// An answer in a list or a stream: an assessment, or why there is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Assessment(Box<Assessed>),
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        error: ErrorBody,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDocument {
    text: Text,
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    stream: Streams,
    #[serde(default)]
    time: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRequest {
    text: Option<Text>,
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    stream: Streams,
    #[serde(default)]
    time: Option<Time>,
    documents: Option<Vec<Object<WireDocument>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireModeration {
    input: Inputs,
    #[serde(default)]
    model: Option<ModelName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFeedback {
    #[serde(default)]
    text: Option<Text>,
    #[serde(default)]
    id: Option<Id>,
    label: Label,
}

/// Reads the body of `/v1/assess`.
pub(crate) fn assess_request(body: &[u8], limits: &Limits) -> Result<AssessRequest, ApiError> {
    let request: WireRequest = object(body)?;
    match (request.text, request.documents) {
        (Some(text), None) => {
            let one = WireDocument { text, id: request.id, stream: request.stream, time: request.time };
            Ok(AssessRequest::One(one.checked("text", limits)?))
        }
        (None, Some(documents)) => {
            if request.id.is_some() || !request.stream.0.is_empty() || request.time.is_some() {
                return Err(ApiError::Invalid("with `documents`, put `id`, `stream` and `time` into each document".into()));
            }
            at_most(documents.len(), "documents", limits)?;
            let checked = |(i, d): (usize, Object<WireDocument>)| d.0.checked(&format!("documents[{i}].text"), limits);
            Ok(AssessRequest::Many(documents.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?))
        }
        (Some(_), Some(_)) => Err(ApiError::Invalid("send either `text` or `documents`, not both".into())),
        (None, None) => Err(ApiError::Invalid("missing field `text` (or `documents` for several)".into())),
    }
}

/// Reads one line of `/v1/stream`.
pub(crate) fn document(line: &[u8], limits: &Limits) -> Result<Document, ApiError> {
    object::<WireDocument>(line)?.checked("text", limits)
}

/// Reads the body of `/v1/feedback`.
pub(crate) fn feedback_request(body: &[u8], limits: &Limits, received: jiff::Timestamp) -> Result<Correction, ApiError> {
    let WireFeedback { text, id, label: Label(label) } = object(body)?;
    let (id, text) = (id.map(|i| i.0), text.map(|t| t.0));
    if id.is_none() && text.as_ref().is_none_or(|t| t.trim().is_empty()) {
        return Err(ApiError::Invalid("say which text the label is for: send its `id`, its `text`, or both".into()));
    }
    too_long("text", text.as_deref().unwrap_or_default(), limits)?;
    Ok(Correction { id, text, label, received })
}

/// Reads the body of `/v1/moderations`: one document per result.
pub(crate) fn moderation_request(body: &[u8], limits: &Limits) -> Result<Vec<Document>, ApiError> {
    let WireModeration { input, model: _any } = object(body)?;
    let texts = input.0;
    at_most(texts.len(), "inputs", limits)?;
    let checked = |(i, text): (usize, String)| {
        let wire = WireDocument { text: Text(text), id: None, stream: Streams::default(), time: None };
        wire.checked(&format!("input[{i}]"), limits)
    };
    texts.into_iter().enumerate().map(checked).collect()
}

impl WireDocument {
    fn checked(self, at: &str, limits: &Limits) -> Result<Document, ApiError> {
        let text = self.text.0;
        too_long(at, &text, limits)?;
        let (id, time) = (self.id.map(|i| i.0), self.time.map(|t| t.0));
        Ok(Document { id, text, streams: self.stream.0, time, with_tokens: limits.tokens, ..Document::default() })
    }
}

impl Entry {
    /// An entry of a list or, with a line number, of a stream.
    pub(crate) fn of(answer: Answer, id: Option<String>, line: Option<u64>) -> Self {
        match answer {
            Ok(assessment) => Self::Assessment(Box::new(assessment)),
            Err(error) => Self::Error { id, line, error: error.body() },
        }
    }
}

fn too_long(at: &str, text: &str, limits: &Limits) -> Result<(), ApiError> {
    match text.len() <= limits.text {
        true => Ok(()),
        false => Err(ApiError::TooLarge(format!("`{at}` has {} bytes, at most {} are taken; send it in parts", text.len(), limits.text))),
    }
}

fn at_most(found: usize, what: &str, limits: &Limits) -> Result<(), ApiError> {
    match found <= limits.documents {
        true => Ok(()),
        false => {
            let most = limits.documents;
            Err(ApiError::Invalid(format!(
                "{found} {what} in one request, at most {most} are taken; send several requests or use /v1/stream"
            )))
        }
    }
}

/// One JSON object and nothing behind it; a byte-order mark before it is passed over.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::Malformed("the body is empty; send JSON such as {\"text\":\"…\"}".into()));
    }
    serde_json::from_slice::<Object<T>>(body).map(|o| o.0).map_err(|error| match error.classify() {
        serde_json::error::Category::Data if !too_deep(body) => ApiError::Invalid(error.to_string()),
        serde_json::error::Category::Data => ApiError::Malformed(format!("JSON nested deeper than {DEEPEST} levels")),
        _ if error.to_string().contains("hex escape") || error.to_string().contains("surrogate") => {
            ApiError::Malformed(format!("not valid JSON: {error}; perhaps half of a surrogate pair, `\\ud83d` without what follows it"))
        }
        _ => ApiError::Malformed(format!("not valid JSON: {error}")),
    })
}

/// Whether brackets outside strings are nested deeper than any parser here follows.
fn too_deep(body: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    body.iter().any(|&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

/// A struct from a JSON object only: serde would also take an array of its fields.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object with the field `text`")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Only(PhantomData))
    }
}

/// A JSON string or number.
enum Scalar<'a> {
    Text(&'a str),
    Integer(i128),
    Float(f64),
}

/// Reads a field whose type error names it: `None` where the value is of another type.
struct Named<T> {
    expecting: &'static str,
    read: fn(Scalar<'_>) -> Option<Result<T, String>>,
}

impl<T> Named<T> {
    fn of<E: de::Error>(&self, value: Scalar<'_>, found: de::Unexpected<'_>) -> Result<T, E> {
        (self.read)(value).ok_or_else(|| E::invalid_type(found, &self.expecting))?.map_err(E::custom)
    }
}

impl<T> Visitor<'_> for Named<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }
    fn visit_str<E: de::Error>(self, s: &str) -> Result<T, E> {
        self.of(Scalar::Text(s), de::Unexpected::Str(s))
    }
    fn visit_u64<E: de::Error>(self, n: u64) -> Result<T, E> {
        self.of(Scalar::Integer(n.into()), de::Unexpected::Unsigned(n))
    }
    fn visit_i64<E: de::Error>(self, n: i64) -> Result<T, E> {
        self.of(Scalar::Integer(n.into()), de::Unexpected::Signed(n))
    }
    fn visit_f64<E: de::Error>(self, x: f64) -> Result<T, E> {
        self.of(Scalar::Float(x), de::Unexpected::Float(x))
    }
}

macro_rules! named {
    ($name:ident, $value:ty, $expecting:literal, $read:expr) => {
        struct $name($value);
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Named { expecting: $expecting, read: $read }).map($name)
            }
        }
    };
}

named!(Text, String, "`text` to be a string", |value| match value {
    Scalar::Text(s) => Some(Ok(s.to_owned())),
    _ => None,
});
// No longer than what an alarm can name.
named!(Id, String, "`id` to be a string or an integer", |value| match value {
    Scalar::Text(s) if s.len() <= Monitor::LONGEST_ID => Some(Ok(s.to_owned())),
    Scalar::Text(s) => Some(Err(format!("`id` has {} bytes, at most {} are taken", s.len(), Monitor::LONGEST_ID))),
    Scalar::Integer(n) => Some(Ok(n.to_string())),
    Scalar::Float(_) => None,
});
named!(Label, &'static str, "`label` to be \"human\" or \"machine\"", |value| match value {
    Scalar::Text("human") => Some(Ok("human")),
    Scalar::Text("machine") => Some(Ok("machine")),
    Scalar::Text(other) => Some(Err(format!("`label` is \"human\" or \"machine\", found \"{:.40}\"", other.escape_debug().to_string()))),
    _ => None,
});
named!(ModelName, (), "`model` to be a string", |value| matches!(value, Scalar::Text(_)).then_some(Ok(())));
named!(Time, jiff::Timestamp, "`time` to be a string such as \"2026-01-31T12:00:00Z\", or seconds since 1970", |value| {
    let (read, found) = match value {
        Scalar::Text(s) => (text::timestamp(s), format!("\"{:.40}\"", s.escape_debug().to_string())),
        Scalar::Integer(n) => (text::timestamp_of_seconds(n as f64), n.to_string()),
        Scalar::Float(x) => (text::timestamp_of_seconds(x), x.to_string()),
    };
    Some(read.ok_or_else(|| {
        format!("`time` must look like \"2026-01-31T12:00:00Z\", or be seconds since 1970, not milliseconds; found {found}")
    }))
});

/// No key, one key, or a list of keys.
#[derive(Default)]
struct Streams(Vec<StreamKey>);

/// Most keys of one document: each one is a row of the flood table.
const MOST_KEYS: usize = 16;

impl<'de> Deserialize<'de> for Streams {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Streams;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`stream` to be a string, an integer, or a list of them")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Streams, E> {
                Ok(Streams::default())
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Streams, E> {
                let key = StreamKey::new(s).map_err(|e| E::custom(format!("`stream`: {e}")))?;
                Ok(Streams(vec![key]))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Streams, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Streams, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Streams, A::Error> {
                let mut keys = Vec::new();
                while let Some(Streams(key)) = list.next_element()? {
                    keys.extend(key);
                    if keys.len() > MOST_KEYS {
                        return Err(A::Error::custom(format!("`stream` holds more than {MOST_KEYS} keys")));
                    }
                }
                Ok(Streams(keys))
            }
        }
        from.deserialize_any(Keys)
    }
}

/// The texts of `input`: a string, a list of strings (one result each), or a list of parts (one result together).
struct Inputs(Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<Text>,
    #[serde(default)]
    image_url: Option<de::IgnoredAny>,
}

enum Item {
    Text(String),
    Part(String),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Item;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("each `input` to be a string or {\"type\":\"text\",\"text\":…}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Item, E> {
                Ok(Item::Text(s.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
                let part = Part::deserialize(MapAccessDeserializer::new(map))?;
                match (part.kind.as_str(), part.text) {
                    ("text", Some(text)) if part.image_url.is_none() => Ok(Item::Part(text.0)),
                    ("text", _) => Err(A::Error::custom("a part of type `text` has the field `text` and no other")),
                    ("image_url", _) => Err(A::Error::custom("images cannot be judged, only text; leave out parts of type `image_url`")),
                    (other, _) => Err(A::Error::custom(format!("unknown part type `{other}`, expected `text`"))),
                }
            }
        }
        from.deserialize_any(Of)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Inputs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`input` to be a string or a list")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Inputs, E> {
                Ok(Inputs(vec![s.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
                let (mut texts, mut parts) = (Vec::new(), Vec::new());
                while let Some(item) = list.next_element()? {
                    match item {
                        Item::Text(text) => texts.push(text),
                        Item::Part(text) => parts.push(text),
                    }
                }
                match (texts.is_empty(), parts.is_empty()) {
                    (false, true) => Ok(Inputs(texts)),
                    (true, false) => Ok(Inputs(vec![parts.join("\n")])),
                    (true, true) => Err(A::Error::custom("`input` is an empty list; send at least one text")),
                    (false, false) => Err(A::Error::custom("`input` mixes strings and parts; send one kind")),
                }
            }
        }
        from.deserialize_any(Of)
    }
}
