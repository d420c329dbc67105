//! An answer from another process of the operator's machine, and how the run at work received it.

use serde::{Deserialize, Serialize};

use super::{Decision, Operator};
use crate::model::plan::StepKey;

/// What `rollgate approve` sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The record with which the question was put, or with which a closed gate began: an answer to an earlier
    /// question is none to a later one.
    pub number: u64,
    /// What it is about.
    pub key: StepKey,
    /// The answer.
    pub decision: Decision,
    /// The word that was given where one must be typed.
    pub typed: Option<String>,
    /// Who answers.
    pub by: Operator,
}

/// How an answer was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reception {
    /// It counts; the records after this number tell what came of it.
    Taken {
        /// The latest record before it.
        after: u64,
    },
    /// Nobody waits for it: the question was answered, withdrawn or put anew.
    Late,
    /// It is no answer to that question.
    Unfit {
        /// Why.
        why: String,
    },
}
