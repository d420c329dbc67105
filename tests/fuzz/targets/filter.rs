//! The filter: whatever comes from a node, only what is harmless reaches a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rollgate::model::escape;

fuzz_target!(|bytes: &[u8]| {
    for unicode in [false, true] {
        let text = escape::text(bytes, unicode);
        let line = escape::line(bytes, unicode);
        assert!(!line.contains(['\n', '\t']), "a line that is none: {line:?}");
        for shown in [&text, &line] {
            assert!(unicode || shown.is_ascii(), "not ASCII: {shown:?}");
            let bad = shown.chars().find(|&c| c.is_control() && c != '\n' && c != '\t' || is_invisible(c));
            assert!(bad.is_none(), "{bad:?} passed: {shown:?}");
        }
        assert_eq!(escape::text(text.as_bytes(), unicode), text, "twice is not once");
        assert_eq!(escape::line(line.as_bytes(), unicode), line, "twice is not once");
        if bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
            assert_eq!(text.as_bytes(), bytes, "harmless text was changed");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let json = escape::json(text);
        assert!(json.is_ascii() && !json.contains('\u{7f}'), "not ASCII: {json:?}");
    }
});

/// What steers a terminal, reorders its neighbours or has no width; written down apart from the filter's own list.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
        | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb
        | 0xe0000..=0xe0fff)
}
