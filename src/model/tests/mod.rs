//! The pure core as one: plans made of hand-written procedures are run to their end in a simulated
//! world, cut, resumed and taken back.

mod ahead;
pub(super) mod builder;
mod legality;
mod order;
mod resumption;
mod revert;
mod rollback;
mod simulator;
mod stories;
mod temporary;
mod unknown;
