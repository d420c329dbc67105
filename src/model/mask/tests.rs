//! What is found, and that nothing is left of it.

use proptest::prelude::*;

use super::{LEAST, Mask};

fn masked(values: &[&str], text: &str) -> String {
    Mask::of(values.iter().copied()).text(text)
}

#[test]
fn every_form_is_found() {
    let secret = r#"pä "s"/w'o\d <&> 42+"#;
    for (form, shown) in [
        (r#"raw pä "s"/w'o\d <&> 42+."#, "raw ***."),
        (r#"{"a":"pä \"s\"/w'o\\d <&> 42+"}"#, r#"{"a":"***"}"#),
        (r#"pä \"s\"\/w'o\\d <&> 42+"#, "***"),
        (r#"p\u00e4 \"s\"/w'o\\d <&> 42+"#, "***"),
        (r#"p\u00E4 \"s\"\/w'o\\d <&> 42+"#, "***"),
        (r#"pä \"s\"/w'o\\d \u003c\u0026\u003e 42+"#, "***"),
        (r"p\u00e4 \u0022s\u0022\u002fw\u0027o\u005cd \u003c\u0026\u003e 42+", "***"),
        ("?q=p%C3%A4%20%22s%22%2Fw%27o%5Cd%20%3C%26%3E%2042%2B&r", "?q=***&r"),
        ("p%c3%a4%20%22s%22%2fw%27o%5cd%20%3c%26%3e%2042%2b", "***"),
        ("p%C3%A4+%22s%22%2Fw%27o%5Cd+%3C%26%3E+42%2B", "***"),
        ("p%C3%A4%20%22s%22/w%27o%5Cd%20%3C%26%3E%2042%2B", "***"),
        ("p%C3%A4%20%22s%22%2Fw'o%5Cd%20%3C%26%3E%2042%2B", "***"),
        (r#"+ login 'pä "s"/w'\''o\d <&> 42+'"#, "+ login '***'"),
        (r#"'pä "s"/w'"'"'o\d <&> 42+'"#, "'***'"),
        (r#""pä \"s\"/w'o\\d <&> 42+""#, r#""***""#),
        (r#"pä\ \"s\"/w\'o\\d\ \<\&\>\ 42+"#, "***"),
        // printf %s "$secret" | base64, with base64url, with echo.
        ("cMOkICJzIi93J29cZCA8Jj4gNDIr", "***"),
        ("cMOkICJzIi93J29cZCA8Jj4gNDIrCg==", "***=="),
    ] {
        assert_eq!(masked(&[secret], form), shown, "{form}");
    }
}

#[test]
fn base64_is_found_wherever_it_begins() {
    // printf 'user:hunter22:more', 'x:…', 'ab…' | base64
    for (text, left) in [
        ("dXNlcjpodW50ZXIyMjptb3Jl", "dXNlcjp***ptb3Jl"),
        ("eDpodW50ZXIyMjptb3Jl", "eDp***ptb3Jl"),
        ("YTpiaHVudGVyMjI=", "YTpi***="),
        ("aHVudGVyMjI=", "***="),
    ] {
        let shown = masked(&["hunter22"], text);
        assert!(shown.contains("***") && !shown.contains("odW50ZXIyM"), "{text}: {shown}");
        assert!(shown.len() <= left.len() + 2, "{text}: {shown}, not {left}");
    }
    // 0xfb 0xff: where the two alphabets differ.
    assert_eq!(masked(&["\u{7ff}\u{7ff}\u{7ff}>>>???"], "37_fv9-_Pj4-Pz8_"), "***");
    assert_eq!(masked(&["\u{7ff}\u{7ff}\u{7ff}>>>???"], "37/fv9+/Pj4+Pz8/"), "***");
}

#[test]
fn long_base64_is_found_in_its_lines() {
    let key: String = (0_u16..200).map(|n| char::from(b'!' + u8::try_from(n * 7 % 90).unwrap())).collect();
    let encoded = super::forms::encoded(key.as_bytes(), *b"+/");
    for width in [76, 64] {
        for line in encoded.chunks(width) {
            let line = std::str::from_utf8(line).unwrap();
            assert_eq!(masked(&[&key], line), "***");
        }
    }
}

#[test]
fn of_values_that_overlap_no_end_is_left() {
    for (values, text, shown) in [
        (&["rabbit", "rabbit-7Qx!"][..], "rabbit-7Qx! rabbit", "*** ***"),
        (&["abcdef", "defghi"], "-abcdefghi-", "-***-"),
        (&["aaaa"], "baaaaaab", "b***b"),
        (&["abcabc"], "abcabcabc", "***"),
        (&["abcd", "bc"], "abcd", "***"),
    ] {
        assert_eq!(masked(values, text), shown, "{values:?}");
    }
}

#[test]
fn a_value_of_several_lines_is_found_in_each() {
    let mask = Mask::of(["first line\nsecond line\r\nab\n"]);
    assert_eq!(mask.text("a first line\nb second line\nab"), "a ***\nb ***\nab");
    assert_eq!(mask.text(r"first line\nsecond line\r\n"), r"***\n***\r\n");
    // Of the whole, as a file in base64.
    assert_eq!(mask.text("Zmlyc3QgbGluZQpzZWNvbmQgbGluZQ0KYWIK"), "***");
}

#[test]
fn what_is_too_short_is_left() {
    assert!(Mask::of(["abc", ""]).is_empty());
    assert_eq!(masked(&["abc"], "abc"), "abc");
    assert!(format!("{:?}", Mask::of(["hunter22"])) == "Mask");
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9]{4,40}", "\\PC{4,20}", "[ab]{4,9}", "[ -~]{4,30}(\n[ -~]{4,30}){1,2}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_of_a_secret_however_it_comes(
        values in prop::collection::vec(secret(), 1..4),
        before in "[ -~]{0,9}",
        after in "[ -~]{0,9}",
        cuts in prop::collection::vec(0_usize..80, 0..6),
    ) {
        let mask = Mask::of(values.iter().map(String::as_str));
        for value in values.iter().flat_map(|value| value.lines()).filter(|line| line.len() >= LEAST) {
            let json = serde_json::to_string(value).unwrap();
            for form in [value, &json[1..json.len() - 1]] {
                let text = format!("{before}{form}{form}{after}");
                let whole = mask.text(&text);
                // The stars themselves may be what a secret is made of.
                prop_assume!(!"******".contains(form));
                prop_assert!(!whole.contains(form), "{whole:?} has {form:?}");
                let (mut held, mut pieces, mut at) = (Vec::new(), Vec::new(), 0);
                for cut in cuts.iter().copied().chain([text.len()]) {
                    let to = (at + cut).min(text.len());
                    held.extend_from_slice(&text.as_bytes()[at..to]);
                    pieces.extend(mask.settle(&mut held));
                    at = to;
                }
                pieces.extend(mask.bytes(&held));
                prop_assert_eq!(String::from_utf8_lossy(&pieces), whole);
            }
        }
    }

    #[test]
    fn text_without_a_secret_stays_as_it_is(value in "[A-Z]{12,20}", text in "[a-z0-9 \n]{0,200}") {
        prop_assert_eq!(masked(&[&value], &text), text);
    }
}
