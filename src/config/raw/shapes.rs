//! What an editor is told of the values that are no mappings.

use serde_json::{Value, json};

use super::super::shape::{Book, Hint, Shape, text};
use super::{Entries, Mappings, OneOrMany, Or, Scalar};

impl Shape for Scalar {
    fn shape(_: &mut Book, hint: &Hint) -> Value {
        hint.single(|| text().single(|| json!({})))
    }
}

impl Shape for OneOrMany {
    fn shape(book: &mut Book, hint: &Hint) -> Value {
        let one = Scalar::shape(book, hint);
        json!({ "anyOf": [one, hint.clone().filled().list(&one)] })
    }
}

impl<T: Shape> Shape for Or<T> {
    fn shape(book: &mut Book, hint: &Hint) -> Value {
        json!({ "anyOf": [Scalar::shape(book, hint), T::shape(book, hint)] })
    }
}

impl<T: Shape> Shape for Mappings<T> {
    fn shape(book: &mut Book, hint: &Hint) -> Value {
        let one = T::shape(book, hint);
        json!({ "anyOf": [one, hint.clone().filled().list(&one)] })
    }
}

impl<T: Shape> Shape for Entries<T> {
    fn shape(book: &mut Book, hint: &Hint) -> Value {
        let of = T::shape(book, hint);
        hint.entries(&of)
    }
}
