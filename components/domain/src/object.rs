//! JSON objects only. What serde derives for a struct also accepts an array with the fields in order, but a client that
//! writes `["Ann","a@x.y"]` does not mean a user.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A `T` that was read from a JSON object, and from nothing else.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads a list of objects, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If the value is not a list, or a member is not the object of a `T`.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

struct Fields<T>(PhantomData<fn() -> T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Point {
        x: i64,
        y: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Path {
        #[serde(deserialize_with = "list")]
        points: Vec<Point>,
    }

    #[test]
    fn an_object_is_read_and_an_array_is_not() {
        let point: Object<Point> = serde_json::from_str(r#"{"x":1,"y":2}"#).expect("an object");
        assert_eq!(point.0, Point { x: 1, y: 2 });
        for json in ["[1,2]", "null", "1", "{}", r#"{"x":1,"y":2,"z":3}"#] {
            assert!(
                serde_json::from_str::<Object<Point>>(json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn the_members_of_a_list_are_objects() {
        let read = |json| serde_json::from_str::<Path>(json);
        let path = read(r#"{"points":[{"x":1,"y":2}]}"#).expect("a list of objects");
        assert_eq!(path.points, [Point { x: 1, y: 2 }]);
        for json in [
            r#"{"points":[[1,2]]}"#,
            r#"{"points":[{"x":1,"y":2},[3,4]]}"#,
            r#"{"points":{"x":1,"y":2}}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
