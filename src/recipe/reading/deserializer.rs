//! serde's view of a recipe's tables. Each method accepts the kinds of values that its type can have and nothing else, so
//! that little is compiled for each of the language's types; errors say at which keys they happened.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use toml::{Value, map};

/// A part of the path to a value.
#[derive(Debug)]
pub(super) enum Key {
    Name(String),
    Index(usize),
}

/// A value that is not what it must be.
#[derive(Debug)]
pub(super) struct Wrong(Box<Content>);

#[derive(Debug)]
struct Content {
    /// From the innermost key to the outermost.
    keys: Vec<Key>,
    message: String,
}

impl Wrong {
    /// The keys that lead to the value, and serde's message.
    pub(super) fn into_parts(self) -> (Vec<Key>, String) {
        let Content { mut keys, message } = *self.0;
        keys.reverse();
        (keys, message)
    }

    fn within(mut self, key: Key) -> Self {
        self.0.keys.push(key);
        self
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }
}

impl Wrong {
    fn new(message: String) -> Self {
        Self(Box::new(Content { keys: Vec::new(), message }))
    }
}

/// A value of a recipe.
#[derive(Clone, Copy)]
pub(super) struct Written<'a>(pub(super) &'a Value);

impl Written<'_> {
    fn is_not(self, expected: &dyn Expected) -> Wrong {
        let found = match self.0 {
            Value::Boolean(value) => Unexpected::Bool(*value),
            Value::Integer(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::String(value) => Unexpected::Str(value),
            Value::Datetime(_) => Unexpected::Other("date"),
            Value::Array(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        };
        Wrong::invalid_type(found, expected)
    }
}

/// Methods for numbers: the visitor says whether it takes the number.
macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0 {
                Value::Integer(value) => visitor.visit_i64(*value),
                Value::Float(value) => visitor.visit_f64(*value),
                _ => Err(self.is_not(&visitor)),
            }
        }
    )*};
}

/// Methods for texts.
macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.0 {
                Value::String(value) => visitor.visit_str(value),
                _ => Err(self.is_not(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Written<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_str(value),
            Value::Datetime(value) => visitor.visit_string(value.to_string()),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Table(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Boolean(value) => visitor.visit_bool(*value),
            _ => Err(self.is_not(&visitor)),
        }
    }

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64
    }

    texts! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Array(items) = self.0 else { return Err(self.is_not(&visitor)) };
        let mut list = List { items, next: 0 };
        let read = visitor.visit_seq(&mut list)?;
        if list.next < items.len() {
            return Err(Wrong::invalid_length(items.len(), &"fewer elements in array"));
        }
        Ok(read)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::Table(table) => visitor.visit_map(Fields { items: table.iter(), current: None }),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_map(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    /// A word, or a table of one word and what belongs to it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(Variant { word, value: None }),
            Value::Table(table) => match table.iter().next() {
                Some((word, value)) if table.len() == 1 => visitor.visit_enum(Variant { word, value: Some(value) }),
                _ => Err(Wrong::custom(format_args!("must have exactly one key, got {}", table.len()))),
            },
            _ => Err(self.is_not(&"string or map")),
        }
    }

    serde::forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct tuple_struct ignored_any }
}

struct List<'a> {
    items: &'a [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for &mut List<'de> {
    type Error = Wrong;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        let index = self.next;
        let Some(item) = self.items.get(index) else { return Ok(None) };
        self.next += 1;
        match seed.deserialize(Written(item)) {
            Ok(read) => Ok(Some(read)),
            Err(wrong) => Err(wrong.within(Key::Index(index))),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Fields<'a> {
    items: map::Iter<'a, String, Value>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Wrong;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        self.current = self.items.next();
        let Some((key, _)) = self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Wrong> = key.as_str().into_deserializer();
        match seed.deserialize(name) {
            Ok(read) => Ok(Some(read)),
            Err(wrong) => Err(wrong.within(Key::Name(key.clone()))),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        let Some((key, value)) = self.current else { return Err(Wrong::custom("a value is read before its key")) };
        seed.deserialize(Written(value)).map_err(|wrong| wrong.within(Key::Name(key.clone())))
    }
}

struct Variant<'a> {
    word: &'a str,
    value: Option<&'a Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Wrong> {
        let word: StrDeserializer<'_, Wrong> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> Variant<'de> {
    fn written(self) -> Result<Written<'de>, Wrong> {
        self.value.map(Written).ok_or_else(|| Wrong::invalid_type(Unexpected::UnitVariant, &"a map"))
    }

    fn read<T>(self, read: impl FnOnce(Written<'de>) -> Result<T, Wrong>) -> Result<T, Wrong> {
        let word = self.word;
        read(self.written()?).map_err(|wrong| wrong.within(Key::Name(word.to_owned())))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.value {
            None => Ok(()),
            Some(value) => Err(Written(value).is_not(&"a word alone").within(Key::Name(self.word.to_owned()))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Wrong> {
        self.read(|written| seed.deserialize(written))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.read(|written| written.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Wrong> {
        self.read(|written| written.deserialize_map(visitor))
    }
}
