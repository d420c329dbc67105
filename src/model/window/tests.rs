//! What windows say of moments, the switches of summer time among them.

use jiff::tz::TimeZoneDatabase;

use super::*;

fn edge(text: &str) -> Edge {
    Edge::parse(text).unwrap()
}

fn hours(windows: &[(&str, &str, &str)]) -> Hours {
    let windows: Vec<Window> = windows
        .iter()
        .map(|(open, close, zone)| Window {
            open: edge(open),
            close: edge(close),
            zone: Some((*zone).to_owned()),
        })
        .collect();
    let zones = TimeZoneDatabase::bundled();
    Hours::new(&windows, |zone| zones.get(zone.unwrap())).unwrap()
}

fn weekend() -> Hours {
    hours(&[("Sat 22:00", "Sun 04:00", "Europe/Madrid")])
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When it closes or opens next, in universal time.
#[track_caller]
fn says(hours: &Hours, now: &str, wanted: &str) {
    let moment = |at: &Zoned| at.timestamp().strftime("%a %d %H:%M").to_string();
    let said = match hours.at(at(now)) {
        Standing::Always => "always".to_owned(),
        Standing::Open { until } => format!("open until {}", moment(&until)),
        Standing::Closed { opens } => format!("closed until {}", moment(&opens.unwrap())),
    };
    assert_eq!(said, wanted, "{now}");
}

#[test]
fn edges_are_read_and_written() {
    for (text, written) in
        [("Sat 22:00", "Sat 22:00"), ("sun 4:05", "Sun 04:05"), ("daily 22:00", "22:00"), ("00:00", "00:00")]
    {
        assert_eq!(edge(text).to_string(), written);
        assert_eq!(edge(written), edge(text));
    }
    for (text, why) in [
        ("", "a day and a time are needed"),
        ("Sat", "the time of the day is missing"),
        ("Sat 22", "the time of the day is missing"),
        ("Caturday 22:00", "this is no day of the week"),
        ("24:00", "this is no time of the day"),
        ("22:60", "this is no time of the day"),
        ("22:0", "this is no time of the day"),
        ("+2:00", "this is no time of the day"),
        ("-2:00", "this is no time of the day"),
        ("22:00:00", "this is no time of the day"),
        ("Sat 22:00 CET", "a day and a time are needed"),
    ] {
        assert_eq!(Edge::parse(text), Err(why), "{text}");
    }
}

#[test]
fn a_window_of_the_week() {
    let weekend = weekend();
    says(&weekend, "2026-11-21T20:59:59Z", "closed until Sat 21 21:00");
    says(&weekend, "2026-11-21T21:00:00Z", "open until Sun 22 03:00");
    says(&weekend, "2026-11-22T02:59:59Z", "open until Sun 22 03:00");
    says(&weekend, "2026-11-22T03:00:00Z", "closed until Sat 28 21:00");
}

#[test]
fn a_window_of_every_day_and_one_over_midnight() {
    let lunch = hours(&[("12:00", "13:00", "UTC")]);
    says(&lunch, "2026-11-21T12:30:00Z", "open until Sat 21 13:00");
    says(&lunch, "2026-11-21T13:00:00Z", "closed until Sun 22 12:00");
    let night = hours(&[("22:00", "04:00", "UTC")]);
    says(&night, "2026-11-21T23:00:00Z", "open until Sun 22 04:00");
    says(&night, "2026-11-22T03:00:00Z", "open until Sun 22 04:00");
    says(&night, "2026-11-22T05:00:00Z", "closed until Sun 22 22:00");
    // A day at the opening alone: until the clock next shows the other time.
    let saturday = hours(&[("Sat 22:00", "04:00", "UTC")]);
    says(&saturday, "2026-11-22T03:00:00Z", "open until Sun 22 04:00");
    says(&saturday, "2026-11-22T05:00:00Z", "closed until Sat 28 22:00");
    // Nearly the whole week, seen from its end.
    let long = hours(&[("Sun 04:00", "Sun 03:00", "UTC")]);
    says(&long, "2026-11-22T02:00:00Z", "open until Sun 22 03:00");
    says(&long, "2026-11-22T03:30:00Z", "closed until Sun 22 04:00");
}

#[test]
fn several_windows_are_their_union() {
    let two = hours(&[("Sat 22:00", "Sun 00:00", "UTC"), ("Sun 00:00", "Sun 04:00", "UTC")]);
    says(&two, "2026-11-21T23:00:00Z", "open until Sun 22 04:00");
    let zones = hours(&[("08:00", "10:00", "Europe/Madrid"), ("08:00", "10:00", "America/New_York")]);
    says(&zones, "2026-11-21T08:00:00Z", "open until Sat 21 09:00");
    says(&zones, "2026-11-21T09:00:00Z", "closed until Sat 21 13:00");
    let all = hours(&[("00:00", "12:00", "UTC"), ("12:00", "00:00", "UTC")]);
    says(&all, "2026-11-21T12:00:00Z", "always");
    says(&Hours::default(), "2026-11-21T12:00:00Z", "always");
}

/// On 29 March 2026 the clocks of Madrid go from 02:00 to 03:00, which is at 01:00 UTC.
#[test]
fn an_hour_that_the_clocks_leave_out() {
    says(&weekend(), "2026-03-28T22:00:00Z", "open until Sun 29 02:00");
    let closes_in_it = hours(&[("Sat 22:00", "Sun 02:30", "Europe/Madrid")]);
    says(&closes_in_it, "2026-03-29T00:59:59Z", "open until Sun 29 01:00");
    let opens_in_it = hours(&[("Sun 02:30", "Sun 04:00", "Europe/Madrid")]);
    says(&opens_in_it, "2026-03-29T00:59:59Z", "closed until Sun 29 01:00");
    says(&opens_in_it, "2026-03-29T01:00:00Z", "open until Sun 29 02:00");
    // Both in it: that week it does not open.
    let within = hours(&[("Sun 02:10", "Sun 02:50", "Europe/Madrid")]);
    says(&within, "2026-03-29T00:30:00Z", "closed until Sun 05 00:10");
}

/// On 25 October 2026 the clocks of Madrid go from 03:00 back to 02:00, which is at 01:00 UTC.
#[test]
fn an_hour_that_the_clocks_show_twice() {
    says(&weekend(), "2026-10-24T23:00:00Z", "open until Sun 25 03:00");
    let closes_in_it = hours(&[("Sat 22:00", "Sun 02:30", "Europe/Madrid")]);
    says(&closes_in_it, "2026-10-25T00:00:00Z", "open until Sun 25 00:30");
    says(&closes_in_it, "2026-10-25T01:10:00Z", "closed until Sat 31 21:00");
    let opens_in_it = hours(&[("Sun 02:30", "Sun 04:00", "Europe/Madrid")]);
    says(&opens_in_it, "2026-10-25T00:29:00Z", "closed until Sun 25 00:30");
    says(&opens_in_it, "2026-10-25T01:29:00Z", "open until Sun 25 03:00");
}

#[test]
fn a_turn_begins_only_where_it_can_end() {
    let weekend = weekend();
    let minutes = Duration::from_mins;
    let hindrance = |now: &str, needs: Option<Duration>| {
        weekend.hindrance(at(now), needs).map(|found| found.sentence(at(now)))
    };
    assert_eq!(
        hindrance("2026-11-21T18:00:00Z", Some(minutes(10))).as_deref(),
        Some("the window is closed until Sat 22:00 (Europe/Madrid), 3h from now")
    );
    assert_eq!(hindrance("2026-11-22T02:50:00Z", None), None);
    assert_eq!(hindrance("2026-11-22T02:50:00Z", Some(minutes(10))), None);
    assert_eq!(
        hindrance("2026-11-22T02:51:00Z", Some(minutes(10))).as_deref(),
        Some(
            "a turn takes about 10m, and the window closes Sun 04:00 (Europe/Madrid), in 9m; \
             it opens for that long Sat 28 Nov 22:00 (Europe/Madrid)"
        )
    );
    assert_eq!(Hours::default().hindrance(at("2026-11-21T18:00:00Z"), Some(minutes(10))), None);
}

#[test]
fn a_turn_that_is_longer_than_every_opening_is_not_told_to_wait() {
    let says = |hours: &Hours, now: &str, needs: u64| {
        hours.hindrance(at(now), Some(Duration::from_mins(needs))).map(|found| found.sentence(at(now)))
    };
    let never = "a turn takes about 6h1m, and the window is never open for that long: \
                 only --override window=REASON lets one begin";
    for now in ["2026-11-21T18:00:00Z", "2026-11-21T21:00:00Z", "2026-11-22T02:51:00Z"] {
        assert_eq!(says(&weekend(), now, 361).as_deref(), Some(never), "{now}");
    }
    assert_eq!(says(&weekend(), "2026-11-21T21:00:00Z", 360), None);
    // The next opening is not long enough, and the one after it is.
    let two = hours(&[("22:00", "23:00", "UTC"), ("Sat 22:00", "Sun 04:00", "UTC")]);
    let found = says(&two, "2026-11-18T22:30:00Z", 120).unwrap();
    assert!(found.ends_with("; it opens for that long Sat 22:00 (UTC)"), "{found}");
}

#[test]
fn batches_fill_a_window_until_the_next_one_would_not_end_in_it() {
    use Fate::{Inside, Later, Unknown};
    let night = hours(&[("22:00", "04:00", "UTC")]);
    let node = |name: &str| NodeName::parse(name).unwrap();
    let batch = |names: &str, hours: Option<u64>| {
        (names.split(' ').map(node).collect::<Vec<_>>(), hours.map(Duration::from_hours))
    };
    let fates = |now: &str, batches: &[(Vec<NodeName>, Option<Duration>)]| -> Vec<Fate> {
        night.fates(at(now), batches).into_iter().map(|(_, fate)| fate).collect()
    };
    let two = [batch("a b", Some(2)), batch("c", Some(2)), batch("d", Some(2)), batch("e", Some(1))];
    assert_eq!(fates("2026-11-21T22:00:00Z", &two), [Inside, Inside, Inside, Inside, Later]);
    assert_eq!(fates("2026-11-21T23:00:00Z", &two), [Inside, Inside, Inside, Later, Later]);
    assert_eq!(fates("2026-11-21T12:00:00Z", &two), [Inside, Inside, Inside, Inside, Later]);
    assert_eq!(
        fates("2026-11-21T22:00:00Z", &[batch("a", Some(1)), batch("b", None), batch("c", Some(1))]),
        [Inside, Unknown, Unknown]
    );
    // A node with two turns is done after the second one.
    let twice = [batch("a", Some(2)), batch("b", Some(2)), batch("a", Some(2)), batch("b", Some(2))];
    let found = night.fates(at("2026-11-21T22:00:00Z"), &twice);
    assert_eq!(found, [(node("a"), Inside), (node("b"), Later)]);
}

#[test]
fn a_window_is_worded_as_it_is_written() {
    assert_eq!(weekend().wording().as_deref(), Some("Sat 22:00 to Sun 04:00 (Europe/Madrid)"));
    let night = hours(&[("22:00", "04:00", "UTC")]);
    assert_eq!(night.wording().as_deref(), Some("22:00 to 04:00 every day (UTC)"));
    assert_eq!(Hours::default().wording(), None);
    let text = serde_json::to_string(&Window { open: edge("Sat 22:00"), close: edge("4:00"), zone: None });
    assert_eq!(text.unwrap(), r#"{"open":"Sat 22:00","close":"04:00","zone":null}"#);
    let now = at("2026-11-21T21:30:00Z");
    assert_eq!(
        weekend().at(now).sentence(now).as_deref(),
        Some("open until Sun 04:00 (Europe/Madrid), 5h30m from now")
    );
}
