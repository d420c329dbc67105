//! What an editor is told of the two files: a JSON schema (draft-07) with the text that it shows of each key. It
//! refuses nothing that rollgate takes; what only the whole of both files can tell, rollgate alone refuses.

use serde_json::{Map, Value, json};

use super::raw::inventory::RawInventory;
use super::raw::procedure::RawProcedure;
use super::shape::{Book, Object, required};

/// The schema of an inventory.
pub fn inventory() -> Value {
    document("rollgate inventory", RawInventory::object)
}

/// The schema of a procedure in a file of its own.
pub fn procedure() -> Value {
    document("rollgate procedure", |book| {
        let mut object = RawProcedure::object(book);
        // Inside an inventory the cluster's name stands for it.
        object.rule(required(&["procedure", "phases"]));
        object
    })
}

fn document(title: &str, object: fn(&mut Book) -> Object) -> Value {
    let mut book = Book::default();
    let top = object(&mut book).schema();
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(title));
    if let Value::Object(top) = top {
        schema.extend(top);
    }
    schema.insert("definitions".to_owned(), book.into_definitions());
    Value::Object(schema)
}
