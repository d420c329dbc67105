//! What cannot have happened is an error, and nothing that a file may hold makes the fold panic.
