//! The forms in which programs write a secret: raw, JSON, URL, base64, a word for a shell.

use zeroize::Zeroizing;

use super::LEAST;

/// Of a secret of more lines, such as a key, no line alone is looked for in base64.
const LINES: usize = 16;

/// Programs that write base64 begin a new line after so many characters.
const WIDTHS: [usize; 2] = [76, 64];

/// Adds every form of a value. Output comes in lines: of a value of several lines, each is looked for.
pub(super) fn of(value: &str, into: &mut Vec<Zeroizing<Vec<u8>>>) {
    let lines: Vec<&str> = value.lines().filter(|line| line.len() >= LEAST).collect();
    for line in &lines {
        add(into, line.as_bytes().to_vec());
        json(line, into);
        url(line, into);
        shell(line, into);
        if lines.len() <= LINES {
            base64(line.as_bytes(), into);
        }
    }
    if value.len() >= LEAST && value.contains('\n') {
        base64(value.as_bytes(), into);
    }
}

fn add(into: &mut Vec<Zeroizing<Vec<u8>>>, form: Vec<u8>) {
    let form = Zeroizing::new(form);
    if form.len() >= LEAST {
        into.push(form);
    }
}

/// Which characters a JSON writer does not write as they are, beside those that it must not.
#[expect(clippy::struct_excessive_bools, reason = "habits of writers that are independent of each other")]
struct Json {
    /// `\/`, as PHP does.
    slash: bool,
    /// Everything that is no ASCII as `\u`, as Python does.
    ascii: bool,
    /// `<`, `>` and `&` as `\u`, as Go does.
    html: bool,
    /// Quotes, apostrophes, slashes and backslashes as `\u` as well.
    all: bool,
    /// The digits of `\u` in capitals.
    upper: bool,
}

fn json(text: &str, into: &mut Vec<Zeroizing<Vec<u8>>>) {
    const PLAIN: Json = Json { slash: false, ascii: false, html: false, all: false, upper: false };
    for upper in [false, true] {
        for (ascii, html) in [(false, false), (false, true), (true, false), (true, true)] {
            for slash in [false, true] {
                add(into, Json { slash, ascii, html, upper, ..PLAIN }.written(text));
            }
            add(into, Json { ascii, html: true, all: true, upper, ..PLAIN }.written(text));
        }
    }
}

impl Json {
    fn written(&self, text: &str) -> Vec<u8> {
        let mut form = Vec::with_capacity(text.len() * 6);
        for c in text.chars() {
            let short = match c {
                '"' | '\\' => Some(c),
                '/' if self.slash => Some(c),
                '\n' => Some('n'),
                '\r' => Some('r'),
                '\t' => Some('t'),
                '\u{8}' => Some('b'),
                '\u{c}' => Some('f'),
                _ => None,
            };
            let long = c < ' '
                || (self.ascii && (!c.is_ascii() || c == '\u{7f}'))
                || (self.html && matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
                || (self.all && matches!(c, '"' | '\'' | '\\' | '/'));
            match short {
                Some(short) if !(self.all && long && c >= ' ') => form.extend([b'\\', short as u8]),
                _ if long => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        form.extend_from_slice(b"\\u");
                        for byte in unit.to_be_bytes() {
                            form.extend(hex(byte, self.upper));
                        }
                    }
                }
                _ => form.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        form
    }
}

fn url(text: &str, into: &mut Vec<Zeroizing<Vec<u8>>>) {
    // What writers leave as it is beside letters and digits: RFC 3986, Python's quote, JavaScript's
    // encodeURIComponent and encodeURI, and forms, where a blank is a plus.
    const KEPT: [&str; 5] = ["-._~", "-._~/", "-._~!'()*", "-._~!'()*;/?:@&=+$,#", "-._*"];
    for upper in [true, false] {
        for kept in KEPT {
            for plus in [false, true] {
                if plus && kept.contains('+') {
                    continue;
                }
                let mut form = Vec::with_capacity(text.len() * 3);
                for byte in text.bytes() {
                    if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
                        form.push(byte);
                    } else if byte == b' ' && plus {
                        form.push(b'+');
                    } else {
                        form.push(b'%');
                        form.extend(hex(byte, upper));
                    }
                }
                add(into, form);
            }
        }
    }
}

fn hex(byte: u8, upper: bool) -> [u8; 2] {
    let digits = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// As `set -x` and `printf %q` show it.
fn shell(text: &str, into: &mut Vec<Zeroizing<Vec<u8>>>) {
    for quote in ["'\\''", "'\"'\"'"] {
        add(into, text.replace('\'', quote).into_bytes());
    }
    for special in ["\"\\$`", "\"\\$`!"] {
        add(into, backslashed(text, |c| special.contains(c)));
    }
    let is_plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "%+-./:=@_".contains(c);
    add(into, backslashed(text, |c| !is_plain(c)));
    add(into, backslashed(text, |c| !is_plain(c) && c != ','));
    // `$'…'`
    add(into, backslashed(text, |c| matches!(c, '\'' | '\\')));
}

fn backslashed(text: &str, is_special: impl Fn(char) -> bool) -> Vec<u8> {
    let mut form = Vec::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_special(c) {
            form.push(b'\\');
        }
        form.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    form
}

/// In base64 three bytes are four characters, so what follows other text, such as `user:`, is written in one of three
/// ways. Of those the characters are looked for that nothing but the secret decides; alone, all of them.
fn base64(bytes: &[u8], into: &mut Vec<Zeroizing<Vec<u8>>>) {
    for alphabet in [b"+/", b"-_"] {
        let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() + 3));
        for before in 0..3 {
            text.clear();
            text.resize(before, 0);
            text.extend_from_slice(bytes);
            let encoded = Zeroizing::new(encoded(&text, *alphabet));
            let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
            add(into, encoded[from..to].to_vec());
            if before == 0 {
                alone(&encoded, into);
            }
        }
        // `echo` adds a newline.
        text.clear();
        text.extend_from_slice(bytes);
        text.push(b'\n');
        alone(&Zeroizing::new(encoded(&text, *alphabet)), into);
    }
}

fn alone(encoded: &[u8], into: &mut Vec<Zeroizing<Vec<u8>>>) {
    add(into, encoded.to_vec());
    for width in WIDTHS {
        if encoded.len() > width {
            for line in encoded.chunks(width) {
                add(into, line.to_vec());
            }
        }
    }
}

/// Without padding: what is looked for is found with it as well.
pub(super) fn encoded(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    const DIGITS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let digit = |bits: u32| {
        let place = (bits & 63) as usize;
        DIGITS.get(place).copied().unwrap_or_else(|| last[place - DIGITS.len()])
    };
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - three.len()));
        text.extend((0..=three.len()).map(|place| digit(bits >> (18 - 6 * place))));
    }
    text
}
