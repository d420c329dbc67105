//! The present, looked up once for each screen or document.

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use crate::model::moment::Moment;

impl Moment {
    /// The present by the system's clock and zone.
    pub fn current() -> Self {
        Self { now: Timestamp::now(), zone: TimeZone::system() }
    }
}
