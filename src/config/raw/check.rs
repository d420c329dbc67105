//! Scripts, checks and conditions as written.

use super::super::shape::{
    any_text, at_least, choice, duration, fits, json_path, limit, line, name, required, text, value,
};
use super::words::{BECOME, FITTING, READINGS, SHELLS};
use super::{Scalar, mapping};

mapping! {
    /// A script in full.
    RawScript [required(&["run"])] {
        /// A command, or a script of several lines behind `|`.
        run: Scalar => text(),
        /// Which shell reads it: `sh` (`sh -eu`) or `bash` (`bash -euo pipefail`).
        shell: Scalar => choice(SHELLS).or("sh"),
        /// How it gains rights, if not as the inventory says.
        r#become: Scalar => choice(BECOME),
    }
}

mapping! {
    /// A check: a read-only command, how its output is read, and what must hold of it. It holds, does not hold,
    /// or is unreadable; unreadable is never a pass.
    RawCheck [
        required(&["run"]),
        fits(&["at"], "value", &["json"]),
        fits(&["columns"], "value", &["lines"]),
        fits(FITTING[0].0, "value", FITTING[0].1),
        fits(FITTING[1].0, "value", FITTING[1].1),
        fits(FITTING[2].0, "value", FITTING[2].1),
    ] {
        /// What a check that is written in place is called on screens. Default: its command.
        name: Scalar => name(),
        /// The read-only command, or a script of several lines behind `|`. Example: `mqctl depth --total`.
        run: Scalar => text(),
        /// Which shell reads it: `sh` (`sh -eu`) or `bash` (`bash -euo pipefail`).
        shell: Scalar => choice(SHELLS).or("sh"),
        /// How it gains rights, if not as the inventory says.
        r#become: Scalar => choice(BECOME),
        /// Where it is asked, if not of the node whose turn it is: `operator`, a node's name, `pinned.ROLE`,
        /// `live.ROLE`, or `group GROUP`, all of whose nodes must hold.
        on: Scalar => text(),
        /// How its output is read: one `number`, `text`, `lines` that are not empty, the `exit` status, or
        /// `json`. Default: as the condition needs it.
        value: Scalar => choice(READINGS),
        /// Where in the JSON document the value stands. Example: `.items[0].state`.
        at: Scalar => json_path(),
        /// What the number counts, for screens. Example: `messages`.
        unit: Scalar => line(),
        /// A command that is run and shown when the check does not hold. Example: `mqctl list-queues`.
        evidence: Scalar => text(),
        /// What to do about it when it does not hold, shown with it.
        remedy: Scalar => text(),
        /// Names of the columns of lines, as blanks part them; `""` leaves a column out. Example: `["", "",
        /// peer]`.
        columns: Vec<Scalar> => any_text(),
        /// How long one reading may take: a number and its unit.
        timeout: Scalar => duration().or("30s"),
    } + condition
}

mapping! {
    /// What must hold of a value; all that is written.
    RawCondition [at_least(1)] {
        /// The value is this one. Numbers compare as numbers. Example: `"3.13.7"`.
        equals: Scalar => value(),
        /// The value is not this one.
        not_equals: Scalar => value(),
        /// The number is this large or larger. Example: `2048`.
        at_least: Scalar => limit(),
        /// The number is this small or smaller. Example: `100`.
        at_most: Scalar => limit(),
        /// A regular expression that the text matches; of lines, each. Example: `"^in sync"`.
        matches: Scalar => text(),
        /// A regular expression that the text does not match.
        not_matches: Scalar => text(),
        /// The value is one of these. Example: `[up, ready]`.
        one_of: Vec<Scalar> => value().filled(),
        /// The value is none of these.
        none_of: Vec<Scalar> => value().filled(),
        /// `true`: there is no output. `false`: there is some.
        empty: bool,
        /// There are at most so many lines or JSON items. Example: `0`.
        count_at_most: u64,
        /// There are at least so many lines or JSON items. Example: `3`.
        count_at_least: u64,
        /// There are just so many lines or JSON items.
        count_equals: u64,
    }
}
