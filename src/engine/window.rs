//! The hours in which turns may begin, with this machine's knowledge of time zones.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::pace;
use crate::model::plan::Plan;
use crate::model::state::RunState;
use crate::model::window::{Hindrance, Hours};

/// The windows of a plan. The error says which zone this machine does not know: rollgate brings a list of them
/// along, so that is one of a newer rollgate's plan.
pub fn hours(plan: &Plan) -> Result<Hours, String> {
    Hours::new(&plan.windows, |zone| match zone {
        None => Ok(TimeZone::system()),
        Some(name) => {
            TimeZone::get(name).map_err(|_| format!("this machine does not know the time zone `{name}`"))
        }
    })
}

/// What stands in the way of turns of a phase that begin now.
pub fn hindrance(state: &RunState, phase: usize, now: Timestamp) -> Result<Option<Hindrance>, String> {
    Ok(hours(&state.plan)?.hindrance(now, pace::turn_length(state, phase)))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    /// A container or a rescue system has no files about zones.
    #[test]
    fn zones_are_brought_along() {
        for name in ["Europe/Madrid", "America/New_York", "Asia/Kolkata", "UTC"] {
            assert!(TimeZoneDatabase::bundled().get(name).is_ok(), "{name}");
        }
    }
}
