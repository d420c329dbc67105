//! An operator's YAML files become model values, or mistakes that say what is wrong, where it stands,
//! and what to write instead.
//!
//! ```text
//! Source (bytes → plain text) → yaml (text → raw) → lower (raw → model, all mistakes at once)
//! ```

pub mod mistake;
mod path;
pub mod source;
mod surface;
mod yaml;
