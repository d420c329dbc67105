//! `sn[1-3]` and `web[01-12]` stand for several names.

/// The most names one range makes.
const MOST: usize = 1000;

/// Whether a text holds a range.
pub(crate) fn is_range(text: &str) -> bool {
    find(text).is_some()
}

/// The names that a text stands for: itself when it holds no range.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, String> {
    let Some((before, from, to, after)) = find(text) else { return Ok(vec![text.to_owned()]) };
    if is_range(after) {
        return Err("a name holds one range at most".to_owned());
    }
    let (Ok(first), Ok(last)) = (from.parse::<usize>(), to.parse::<usize>()) else {
        return Err(format!("[{from}-{to}] is larger than rollgate counts"));
    };
    if last < first {
        return Err(format!("[{from}-{to}] counts backwards"));
    }
    if last - first >= MOST {
        return Err(format!("[{from}-{to}] makes more than {MOST} nodes"));
    }
    let padded = from.len() > 1 && from.starts_with('0') || to.len() > 1 && to.starts_with('0');
    if padded && from.len() != to.len() {
        return Err(format!("[{from}-{to}] is padded with zeros on one side alone"));
    }
    let width = if padded { from.len() } else { 0 };
    Ok((first..=last).map(|number| format!("{before}{number:0width$}{after}")).collect())
}

/// The first `[digits-digits]`, with what stands before and after it.
fn find(text: &str) -> Option<(&str, &str, &str, &str)> {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    text.match_indices('[').find_map(|(open, _)| {
        let length = text[open..].find(']')?;
        let (from, to) = text[open + 1..open + length].split_once('-')?;
        (digits(from) && digits(to)).then(|| (&text[..open], from, to, &text[open + length + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand() {
        let all = |text: &str| expand(text).map(|names| names.join(" "));
        assert_eq!(all("sn[1-3]"), Ok("sn1 sn2 sn3".to_owned()));
        assert_eq!(all("w[08-11].x"), Ok("w08.x w09.x w10.x w11.x".to_owned()));
        assert_eq!(all("w[00-01]"), Ok("w00 w01".to_owned()));
        assert_eq!(all("[fe80::1]"), Ok("[fe80::1]".to_owned()));
        for text in ["a[3-1]", "a[1-5000]", "a[01-100]", "a[1-2]b[1-2]", "a[1-99999999999999999999999]"] {
            assert!(all(text).is_err(), "{text}");
        }
    }
}
