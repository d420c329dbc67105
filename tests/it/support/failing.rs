//! Says why a test fails as soon as it does: its own output comes at the end of all, and of a long run not everybody who
//! looks into it is shown the end.

use std::io::Write as _;
use std::sync::Once;

/// As much of it as is read.
const LINES: usize = 25;

/// From now on.
pub(crate) fn at_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let mut words = format!("panicked: {} at {place}\n", thread.name().unwrap_or("a thread"));
            for line in panic.payload_as_str().unwrap_or_default().lines().take(LINES) {
                words.extend(["    ", &line.replace(char::is_control, " "), "\n"]);
            }
            // Not by a macro: what those print is kept with the test's output. Nobody may listen.
            let _ = std::io::stderr().write_all(words.as_bytes());
            usual(panic);
        }));
    });
}
