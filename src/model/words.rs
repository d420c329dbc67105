//! The one place that words counts, lists, durations, ages, numbers and sizes.

use std::time::Duration;

use super::job::Standing;

/// Where a job stands, by its node's own account.
pub fn standing(standing: Standing) -> String {
    match standing {
        Standing::Absent { known: true } => "was not begun there".to_owned(),
        Standing::Absent { known: false } => "the node does not know the run any more".to_owned(),
        Standing::Void | Standing::Unbegun | Standing::Fenced => "never began there".to_owned(),
        Standing::Conflict => "the node was given another script under its name".to_owned(),
        Standing::Running => "is running there".to_owned(),
        Standing::Ended { stopped: true, .. } => "took too long and was stopped".to_owned(),
        Standing::Ended { interrupted: true, .. } => "the node was shut down in the middle of it".to_owned(),
        Standing::Ended { code, .. } => format!("ended there with exit status {code}"),
        Standing::Lost { rebooted: true, .. } => "the node was restarted in the middle of it".to_owned(),
        Standing::Lost { .. } => "its process was killed, and with it its exit status".to_owned(),
    }
}

/// Words a count: `1 node`, `5 nodes`.
pub fn count(n: usize, noun: &str) -> String {
    let plural = match noun {
        word if n == 1 => word.to_owned(),
        word if word.ends_with('y') && !word.ends_with("ay") => format!("{}ies", &word[..word.len() - 1]),
        word if word.ends_with('s') || word.ends_with("ch") => format!("{word}es"),
        word => format!("{word}s"),
    };
    format!("{n} {plural}")
}

/// Words a list: `a`, `a and b`, `a, b and c`.
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// Words a list that may be long: at most `most` of its items, then how many there are besides.
pub fn list_some<S: AsRef<str>>(items: &[S], most: usize) -> String {
    if items.len() <= most {
        return list(items);
    }
    let shown: Vec<&str> = items[..most].iter().map(AsRef::as_ref).collect();
    format!("{} and {} more", shown.join(", "), items.len() - most)
}

/// Words what a clock shows: `48s`, `4m12`, `1h12m`.
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Words how long something took on the whole: `30 s`, `51 min`, `1 h 12 m`, `2 d 3 h`.
pub fn total(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = (seconds + 30) / 60;
    match seconds {
        0..60 => format!("{seconds} s"),
        60.. if minutes < 60 => format!("{minutes} min"),
        60.. if minutes < 48 * 60 => format!("{} h {} m", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// Words how old a reading is: `just now`, `4 s ago`, `12 min ago`.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "just now".to_owned(),
        1..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Words a number for eyes: digits in groups of three, at most two places after the point.
pub fn number(value: f64) -> String {
    let plain = plain_number(value);
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    if !whole.bytes().all(|b| b.is_ascii_digit()) || whole.len() < 4 {
        return plain;
    }
    let mut grouped = String::with_capacity(plain.len() + whole.len() / 3);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// Words a number for programs: no groups, at most two places after the point, none when they are zero.
pub fn plain_number(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Words a number of bytes: `800 B`, `1.1 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A word as a shell reads it back: quoted where it has to be.
pub fn quote(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(bare) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn counts() {
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(0, "node"), "0 nodes");
        assert_eq!(count(2, "try"), "2 tries");
        assert_eq!(count(2, "day"), "2 days");
        assert_eq!(count(3, "batch"), "3 batches");
    }

    #[test]
    fn lists() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list_some(&["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(list_some(&["a", "b"], 2), "a and b");
    }

    #[test]
    fn durations() {
        assert_eq!([elapsed(s(48)), elapsed(s(252)), elapsed(s(4320))], ["48s", "4m12", "1h12m"]);
        assert_eq!(
            [30, 3060, 3590, 4320, 180_000].map(|n| total(s(n))),
            ["30 s", "51 min", "1 h 0 m", "1 h 12 m", "2 d 2 h"]
        );
        assert_eq!(
            [0, 4, 119, 130, 9000, 400_000].map(|n| age(s(n))),
            ["just now", "4 s ago", "119 s ago", "2 min ago", "2 h ago", "4 days ago"]
        );
    }

    #[test]
    fn numbers() {
        for (value, shown, plain) in [
            (0.0, "0", "0"),
            (94.0, "94", "94"),
            (4930.0, "4 930", "4930"),
            (-1_234_567.0, "-1 234 567", "-1234567"),
            (1234.5, "1 234.5", "1234.5"),
            (0.126, "0.13", "0.13"),
            (-0.001, "0", "0"),
            (f64::NAN, "?", "?"),
        ] {
            assert_eq!((number(value).as_str(), plain_number(value).as_str()), (shown, plain));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!([0, 800, 1024, 1_181_116_006].map(size), ["0 B", "800 B", "1.0 KiB", "1.1 GiB"]);
        assert_eq!(size(1_048_575), "1.0 MiB");
    }
}
