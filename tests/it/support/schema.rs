//! Holds everything that rollgate prints for programs, and every journal that it leaves, to the schemas of
//! `examples/output`: no output of any test escapes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::next;

/// The schemas by the format that they describe: `rollgate/status`.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    schemas()
        .into_iter()
        .map(|(name, schema)| {
            let validator =
                jsonschema::draft7::options().should_validate_formats(true).build(&schema).unwrap();
            (format!("rollgate/{name}"), validator)
        })
        .collect()
});

/// The committed schemas by name.
pub(crate) fn schemas() -> BTreeMap<String, Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/output");
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files
        .map(|file| {
            let name = file.file_name().unwrap().to_str().unwrap().strip_suffix(".schema.json").unwrap();
            let text = fs::read_to_string(&file).unwrap();
            (name.to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// Insists that a text is documents and nothing else, each of which says first what it is, and is that. Gives them.
#[track_caller]
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let documents = documents.unwrap_or_else(|error| panic!("not JSON: {error}\n{text}"));
    for document in &documents {
        let keys: Vec<&String> =
            document.as_object().expect("a document is an object").keys().take(2).collect();
        assert_eq!(keys, ["format", "format_version"], "what a document is comes first:\n{document:#}");
        conforms(document["format"].as_str().unwrap(), document);
        for words in document["next"].as_array().into_iter().flatten() {
            next::can_be_typed(&serde_json::from_value::<Vec<String>>(words.clone()).unwrap());
        }
    }
    documents
}

#[track_caller]
fn conforms(format: &str, document: &Value) {
    let schema = SCHEMAS.get(format).unwrap_or_else(|| panic!("there is no schema for {format}"));
    let errors: Vec<String> =
        schema.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "not a {format}:\n{}\n{document:#}", errors.join("\n"));
}

/// Insists that every line of every journal below a directory is a record. A torn end, and what a test damaged, is none.
#[track_caller]
pub(crate) fn journals(below: &Path) {
    let Ok(entries) = fs::read_dir(below) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            journals(&path);
        } else if path.file_name().is_some_and(|name| name == "journal.ndjson") {
            let bytes = fs::read(&path).unwrap();
            let lines = bytes.split(|byte| *byte == b'\n');
            for record in lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
                assert!(record["crc"].is_string(), "a record of a journal has its sum: {record}");
                conforms("rollgate/record", &record);
            }
        }
    }
}
