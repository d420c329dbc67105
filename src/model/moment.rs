//! When things happened, as the operator's clock and time zone show it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::duration::between;

/// The present, given to every builder that shows times; no builder looks at a clock, and this module neither:
/// `ui::moment` does.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// The operator's zone.
    pub zone: TimeZone,
}

impl Moment {
    /// Time since then; zero for what the clock puts into the future.
    pub fn since(&self, then: Timestamp) -> Duration {
        between(then, self.now)
    }

    /// The time of day, with the day where it is another one: `09:18`, `20 Nov 09:18`.
    pub fn short(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned(self.zone.clone()), self.now.to_zoned(self.zone.clone()));
        let form = if at.date() == now.date() {
            "%H:%M"
        } else if at.year() == now.year() {
            "%d %b %H:%M"
        } else {
            "%Y-%m-%d %H:%M"
        };
        at.strftime(form).to_string()
    }

    /// Day and time, to the minute: `2026-11-21 09:18`.
    pub fn minute(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// ISO 8601 with offset, to the second: `2026-11-21T09:18:50+01:00`.
    pub fn iso(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// Day and time for a heading: `Sat 2026-11-21 02:00 +01:00`.
    pub fn heading(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M %:z").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_operators_zone() {
        let moment = Moment {
            now: "2026-11-21T09:20:00Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(1)),
        };
        let at: Timestamp = "2026-11-21T08:18:50.7Z".parse().unwrap();
        assert_eq!(moment.short(at), "09:18");
        assert_eq!(moment.short("2026-11-20T08:18:50Z".parse().unwrap()), "20 Nov 09:18");
        assert_eq!(moment.short("2025-11-20T08:18:50Z".parse().unwrap()), "2025-11-20 09:18");
        assert_eq!(moment.minute(at), "2026-11-21 09:18");
        assert_eq!(moment.iso(at), "2026-11-21T09:18:50+01:00");
        assert_eq!(moment.heading(at), "Sat 2026-11-21 09:18 +01:00");
        assert_eq!(moment.since(at).as_secs(), 3669);
        assert_eq!(moment.since("2027-01-01T00:00:00Z".parse().unwrap()), Duration::ZERO);
    }
}
