//! When turns may begin: the hours that were agreed for a cluster. Pure: what time it is, and what a zone is, are
//! given.
//!
//! A window holds up nothing but the beginning of a turn. What has begun goes on after it has closed, and so does
//! what is undone or taken back.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::{between, written};
use super::event::Operator;
use super::name::NodeName;

/// Days around the present in which openings are looked for: a week, and a day that a zone may leave out.
const REACH: i64 = 9;
/// Beyond this a day of the week alone does not say which one is meant.
const WEEK: Duration = Duration::from_hours(24 * 6);

/// Hours in which turns may begin, every day or every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// When it opens.
    pub open: Edge,
    /// When it closes: the first time after it has opened.
    pub close: Edge,
    /// The IANA name of the zone whose clocks are meant; the operator's machine's where it has none to tell.
    pub zone: Option<String>,
}

/// When a window opens or closes: `Sat 22:00`, or `22:00` for every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Edge {
    /// The day; every day without.
    pub day: Option<Weekday>,
    /// The time of the day.
    pub time: Time,
}

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Mon"),
    (Weekday::Tuesday, "Tue"),
    (Weekday::Wednesday, "Wed"),
    (Weekday::Thursday, "Thu"),
    (Weekday::Friday, "Fri"),
    (Weekday::Saturday, "Sat"),
    (Weekday::Sunday, "Sun"),
];

impl Edge {
    /// Reads it, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut words = text.split_whitespace();
        let (day, time) = match (words.next(), words.next(), words.next()) {
            (Some(time), None, _) => (None, time),
            (Some(day), Some(time), None) => (Some(day), time),
            _ => return Err("a day and a time are needed"),
        };
        let day = match day {
            None => None,
            Some(word) if word.eq_ignore_ascii_case("daily") => None,
            Some(word) => {
                let known = DAYS.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
                Some(known.ok_or("this is no day of the week")?.0)
            }
        };
        let (hour, minute) = time.split_once(':').ok_or("the time of the day is missing")?;
        let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
            let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            fits.then(|| text.parse::<i8>().ok()).flatten()
        };
        let time = number(hour, 1..=2).zip(number(minute, 2..=2));
        let time = time.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
        Ok(Self { day, time: time.ok_or("this is no time of the day")? })
    }

    fn is_on(self, date: Date) -> bool {
        self.day.is_none_or(|day| day == date.weekday())
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, day)) = DAYS.iter().find(|(day, _)| Some(*day) == self.day) {
            write!(f, "{day} ")?;
        }
        write!(f, "{:02}:{:02}", self.time.hour(), self.time.minute())
    }
}

impl TryFrom<String> for Edge {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text)
    }
}

impl From<Edge> for String {
    fn from(edge: Edge) -> String {
        edge.to_string()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every_day = if self.open.day.is_none() { " every day" } else { "" };
        let zone = self.zone.as_ref().map(|zone| format!(" ({zone})")).unwrap_or_default();
        write!(f, "{} to {}{every_day}{zone}", self.open, self.close)
    }
}

/// Windows whose zones were looked up; none at all is always open.
#[derive(Debug, Clone, Default)]
pub struct Hours(Vec<(Window, TimeZone)>);

/// What windows say of a moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Turns may begin at any time.
    Always,
    /// They may, until then.
    Open {
        /// When it closes.
        until: Zoned,
    },
    /// They may not.
    Closed {
        /// When they may again.
        opens: Option<Zoned>,
    },
}

/// Why a turn may not begin now.
#[derive(Debug, Clone, PartialEq)]
pub enum Hindrance {
    /// The window is closed.
    Closed {
        /// When it opens.
        opens: Option<Zoned>,
    },
    /// The turn would go on after it has closed.
    Short {
        /// When it closes.
        closes: Zoned,
        /// How long a turn takes, by those that are known.
        needs: Duration,
        /// When it opens for long enough.
        opens: Option<Zoned>,
    },
    /// The turn takes longer than the window is ever open: to wait for it leads nowhere.
    TooLong {
        /// How long a turn takes, by those that are known.
        needs: Duration,
    },
}

/// Turns that began though a window stood in their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outside {
    /// What stood in the way.
    pub why: String,
    /// The reason given for going on.
    pub reason: String,
    /// Who gave it.
    pub by: Operator,
}

/// What becomes of a node when turns follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its turn ends before the window closes.
    Inside,
    /// Its turn would not, and waits for the next opening.
    Later,
    /// Nobody knows how long turns take.
    Unknown,
}

impl Hours {
    /// Looks the zones of windows up.
    pub fn new<E>(windows: &[Window], zone: impl Fn(Option<&str>) -> Result<TimeZone, E>) -> Result<Self, E> {
        let looked_up = windows.iter().map(|window| Ok((window.clone(), zone(window.zone.as_deref())?)));
        looked_up.collect::<Result<_, E>>().map(Self)
    }

    /// The windows as they are written: `Sat 22:00 to Sun 04:00 (Europe/Madrid)`.
    pub fn wording(&self) -> Option<String> {
        let words: Vec<String> = self.0.iter().map(|(window, _)| window.to_string()).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What the windows say of a moment.
    pub fn at(&self, now: Timestamp) -> Standing {
        if self.0.is_empty() {
            return Standing::Always;
        }
        let spans = self.spans(now);
        match spans.iter().find(|(_, close)| close.timestamp() > now) {
            Some((open, close)) if open.timestamp() <= now => {
                // Windows that follow one another without a break never close.
                if between(now, close.timestamp()) > Duration::from_hours(24 * 8) {
                    return Standing::Always;
                }
                Standing::Open { until: close.clone() }
            }
            Some((open, _)) => Standing::Closed { opens: Some(open.clone()) },
            None => Standing::Closed { opens: None },
        }
    }

    /// What stands in the way of a turn that begins now and needs so long, where that is known.
    pub fn hindrance(&self, now: Timestamp, needs: Option<Duration>) -> Option<Hindrance> {
        let spans = self.spans(now);
        let lasts = |span: &&(Zoned, Zoned), needs| between(span.0.timestamp(), span.1.timestamp()) >= needs;
        match (self.at(now), needs) {
            (Standing::Always, _) | (Standing::Open { .. }, None) => None,
            (Standing::Open { until }, Some(needs)) if needs <= between(now, until.timestamp()) => None,
            (_, Some(needs)) if !spans.is_empty() && !spans.iter().any(|span| lasts(&span, needs)) => {
                Some(Hindrance::TooLong { needs })
            }
            (Standing::Closed { opens }, _) => Some(Hindrance::Closed { opens }),
            (Standing::Open { until }, Some(needs)) => {
                let later = spans.iter().filter(|(open, _)| *open >= until);
                let opens = later.filter(|span| lasts(span, needs)).map(|(open, _)| open.clone()).next();
                Some(Hindrance::Short { closes: until, needs, opens })
            }
        }
    }

    /// What becomes of batches that follow one another, from now or from the next opening on. All nodes of a
    /// batch are at work at the same time, so that it takes as long as one of them.
    pub fn fates(
        &self,
        now: Timestamp,
        batches: &[(Vec<NodeName>, Option<Duration>)],
    ) -> Vec<(NodeName, Fate)> {
        let mut at = match self.at(now) {
            Standing::Closed { opens: Some(opens) } => opens.timestamp(),
            _ => now,
        };
        let mut fate = Fate::Inside;
        let mut fates = Vec::new();
        for (nodes, needs) in batches {
            if fate == Fate::Inside {
                fate = match needs {
                    None => Fate::Unknown,
                    Some(_) if self.hindrance(at, *needs).is_some() => Fate::Later,
                    Some(needs) => {
                        at = at.checked_add(*needs).unwrap_or(at);
                        Fate::Inside
                    }
                };
            }
            // A node may have several turns: the last one says when it is done.
            fates.retain(|(node, _)| !nodes.contains(node));
            fates.extend(nodes.iter().map(|node| (node.clone(), fate)));
        }
        fates
    }

    /// Openings around a moment in the order of time; those that overlap or touch are one.
    fn spans(&self, now: Timestamp) -> Vec<(Zoned, Zoned)> {
        let mut spans: Vec<(Zoned, Zoned)> =
            self.0.iter().flat_map(|(window, zone)| openings(window, zone, now)).collect();
        spans.sort_by_key(|(open, _)| open.timestamp());
        let mut merged: Vec<(Zoned, Zoned)> = Vec::new();
        for (open, close) in spans {
            match merged.last_mut() {
                Some((_, last)) if open.timestamp() <= last.timestamp() => {
                    if close.timestamp() > last.timestamp() {
                        *last = close;
                    }
                }
                _ => merged.push((open, close)),
            }
        }
        merged
    }
}

/// A window's openings around a moment, each with its closing.
fn openings(window: &Window, zone: &TimeZone, now: Timestamp) -> Vec<(Zoned, Zoned)> {
    let today = zone.to_datetime(now).date();
    let days = |from: i64, to: i64| {
        (from..=to).filter_map(move |day| today.checked_add(jiff::Span::new().days(day)).ok())
    };
    let on = |edge: Edge, date: Date| reads(zone, date, edge.time);
    let closings: Vec<Date> = days(-REACH, 2 * REACH).filter(|date| window.close.is_on(*date)).collect();
    days(-REACH, REACH)
        .filter(|date| window.open.is_on(*date))
        .filter_map(|date| {
            let is_after =
                |closing: &&Date| closing.to_datetime(window.close.time) > date.to_datetime(window.open.time);
            let close = on(window.close, *closings.iter().find(is_after)?)?;
            // Both may stand in an hour that the clocks leave out.
            let open = on(window.open, date).filter(|open| *open < close)?;
            Some((open.to_zoned(zone.clone()), close.to_zoned(zone.clone())))
        })
        .collect()
}

/// The first moment at which a zone's clocks show that time of that day, or a later one where they leave it out.
fn reads(zone: &TimeZone, date: Date, time: Time) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(time));
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => ambiguous.unambiguous().ok(),
        AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
        AmbiguousOffset::Gap { .. } => {
            let after = ambiguous.later().ok()?;
            zone.preceding(after).next().map(|jump| jump.timestamp())
        }
    }
}

impl Outside {
    /// It in words: the reason, by whom, and what stood in the way.
    pub fn sentence(&self) -> String {
        format!("{} ({}; {})", self.reason, self.by.user, self.why)
    }
}

impl Standing {
    /// It in words; nothing for what is always open.
    pub fn sentence(&self, now: Timestamp) -> Option<String> {
        match self {
            Self::Always => None,
            Self::Open { until } => Some(format!(
                "open until {}, {} from now",
                clock(now, until),
                about(between(now, until.timestamp()))
            )),
            Self::Closed { opens } => Some(format!("closed{}", opening(now, opens.as_ref()))),
        }
    }
}

impl Hindrance {
    /// It in words, as the reason why a run stops.
    pub fn sentence(&self, now: Timestamp) -> String {
        match self {
            Self::Closed { opens } => format!("the window is closed{}", opening(now, opens.as_ref())),
            Self::Short { closes, needs, opens } => {
                let again =
                    opens.as_ref().map(|opens| format!("; it opens for that long {}", clock(now, opens)));
                format!(
                    "a turn takes about {}, and the window closes {}, in {}{}",
                    about(*needs),
                    clock(now, closes),
                    about(between(now, closes.timestamp())),
                    again.unwrap_or_default()
                )
            }
            Self::TooLong { needs } => format!(
                "a turn takes about {}, and the window is never open for that long: \
                 only --override window=REASON lets one begin",
                about(*needs)
            ),
        }
    }

    /// When turns may begin again.
    pub fn opens(&self) -> Option<&Zoned> {
        match self {
            Self::Closed { opens } | Self::Short { opens, .. } => opens.as_ref(),
            Self::TooLong { .. } => None,
        }
    }
}

fn opening(now: Timestamp, opens: Option<&Zoned>) -> String {
    opens.map_or_else(String::new, |opens| {
        format!(" until {}, {} from now", clock(now, opens), about(between(now, opens.timestamp())))
    })
}

/// A time to the minute: `2h59m`.
fn about(time: Duration) -> String {
    match (time.as_secs() + 30) / 60 {
        0 => "less than a minute".to_owned(),
        minutes @ ..2880 => written(Duration::from_mins(minutes)),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// `Sat 22:00 (Europe/Madrid)`, with the date where that could be two days.
fn clock(now: Timestamp, at: &Zoned) -> String {
    let form = if between(now, at.timestamp()) < WEEK { "%a %H:%M (%Q)" } else { "%a %d %b %H:%M (%Q)" };
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests;
