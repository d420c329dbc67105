//! Parses the command line, runs one verb, ends with its exit code.

fn main() {}
