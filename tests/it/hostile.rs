//! What comes from elsewhere and means harm: output, files, nodes (`reliability.md` §5.S).

mod dice;
mod exposed;
mod files;
mod node;
mod output;
mod staged;
