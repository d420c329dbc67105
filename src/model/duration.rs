//! `10s`, `30m`, `1h30m`: a time always has its unit.

use std::time::Duration;

use jiff::Timestamp;

/// The longest time that can be said: a run that waits longer has been forgotten.
const LONGEST: Duration = Duration::from_hours(24 * 30);

/// Reads a time, or says what is wrong with it.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    let mut above = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or("the unit is missing")?;
        let count: u64 = rest[..digits].parse().map_err(|_| "this is no time")?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err("this is no time"),
        };
        if millis >= above {
            return Err("larger units come first, each once");
        }
        above = millis;
        rest = &rest[unit..];
        total = count
            .checked_mul(millis)
            .and_then(|millis| total.checked_add(Duration::from_millis(millis)))
            .filter(|total| *total <= LONGEST)
            .ok_or("this is longer than 30 days")?;
    }
    if total.is_zero() { Err("this is no time at all") } else { Ok(total) }
}

/// Words a time as somebody would write it in a file, to be read back by [`parse`]: `500ms`, `5s`, `90s`, `30m`, `1h30m`.
pub fn written(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if millis != 0 {
        return format!("{}ms", u128::from(seconds) * 1000 + u128::from(millis));
    }
    let (hours, minutes, rest) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, 1, rest) => format!("{}s", 60 + rest),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        (hours, minutes, rest) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// Time from one moment to another; zero if the clock was set back in between.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// Times as records keep them: seconds, as a number.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The same for a time that may be absent.
pub(super) mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "serde hands a field over by reference")]
    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("10s", 10), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1m5s", 65)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for text in
            ["", "10", "s", "1.5h", "-3s", "5m1h", "1s1s", "10 s", "31d", "0s", "99999999999999999999s"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_worded_as_they_are_written() {
        let words = ["5s", "90s", "2m", "2m30s", "30m", "1h", "1h30m", "1h1m1s", "1500ms", "250ms"];
        for word in words {
            assert_eq!(parse(word).map(written).as_deref(), Ok(word));
        }
        assert_eq!(written(Duration::ZERO), "0s");
    }
}
