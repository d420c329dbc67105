//! An address from which a node fetches a file itself. It stands in the plan, in the journal and in the process list of
//! the node, and its last segment names a file there: what does not fit any of these is refused where it is written.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest file name that common file systems take.
const NAME: usize = 255;

/// Why a text is no address that a node could fetch from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme, or none.
    #[error("it must begin with `http://` or `https://`")]
    Scheme,
    /// A blank, a control character, or another one that no URL has.
    #[error("it holds a character that no URL has; write it as % and two hexadecimal digits")]
    Characters,
    /// A `%` that begins no escape.
    #[error("a `%` in it is not followed by two hexadecimal digits")]
    Escape,
    /// A name or password of somebody.
    #[error("it holds a name or password, which would stand in the journal and in process lists")]
    Userinfo,
    /// No host, or a port that is none.
    #[error("it names no host, or its port is no number")]
    Host,
    /// A part that no server is ever sent.
    #[error("it has a fragment, which no server is sent")]
    Fragment,
    /// A path that leads up again.
    #[error("its path has a `.` or `..` in it")]
    Dots,
    /// No last segment.
    #[error("its path does not end with the name of a file")]
    NoName,
    /// A last segment that no file can have as a name.
    #[error("the name at its end is longer than a file's name can be")]
    LongName,
}

/// An address of a file: `http` or `https`, without anybody's password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Url(String);

impl Url {
    /// Takes an address as it is written.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(BadUrl::Scheme)?;
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte))
        {
            return Err(BadUrl::Characters);
        }
        if !text.split('%').skip(1).all(begins_with_digits) {
            return Err(BadUrl::Escape);
        }
        if text.contains('#') {
            return Err(BadUrl::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, below) = rest.split_at(end);
        if authority.contains('@') {
            return Err(BadUrl::Userinfo);
        }
        if !is_authority(authority) {
            return Err(BadUrl::Host);
        }
        let path = below.split('?').next().unwrap_or_default();
        if path.split('/').any(is_dots) {
            return Err(BadUrl::Dots);
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.len() {
            0 => Err(BadUrl::NoName),
            1..=NAME => Ok(Self(text.to_owned())),
            _ => Err(BadUrl::LongName),
        }
    }

    /// Whether a text is an address of any kind, so that it names no file.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        })
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the file that is fetched: the last segment of the path, as it is written.
    pub fn name(&self) -> &str {
        let path = self.0.split('?').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Url {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        Self::parse(&text)
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.0
    }
}

fn begins_with_digits(text: &str) -> bool {
    text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
}

/// `.` and `..`, escaped or not.
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

/// A host with a port, if any. An address of the sixth version stands in brackets.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some("1"))),
        None => text.split_once(':').map_or((text, Some("1")), |(host, port)| (host, Some(port))),
    };
    let bracketed = text.starts_with('[');
    let fits = |byte: u8| {
        if bracketed {
            byte.is_ascii_hexdigit() || b":.".contains(&byte)
        } else {
            byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
    };
    !host.is_empty() && host.bytes().all(fits) && port.is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_segment_as_it_is_written() {
        for (text, name) in [
            ("https://mirror.example/app-1.2.tar", "app-1.2.tar"),
            ("http://10.0.0.1:8080/a/b/app%2F1.tar?token=x/y", "app%2F1.tar"),
            ("http://[fe80::1]:80/x", "x"),
            ("http://[::1]/x", "x"),
            ("https://h//x", "x"),
            ("https://h/x@y", "x@y"),
        ] {
            assert_eq!(Url::parse(text).unwrap().name(), name, "{text}");
        }
    }

    #[test]
    fn what_no_node_should_be_given_is_refused() {
        for (text, why) in [
            ("ftp://h/x", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("HTTP://h/x", BadUrl::Scheme),
            ("-http://h/x", BadUrl::Scheme),
            ("./app.tar", BadUrl::Scheme),
            ("", BadUrl::Scheme),
            ("http://h/a b", BadUrl::Characters),
            ("http://h/a\nb", BadUrl::Characters),
            ("http://h/a\u{7f}", BadUrl::Characters),
            ("http://h/\u{e4}", BadUrl::Characters),
            ("http://h/{a,b}", BadUrl::Characters),
            ("http://h/a\\b", BadUrl::Characters),
            ("http://h/a%2", BadUrl::Escape),
            ("http://h/%zz", BadUrl::Escape),
            ("https://user:pass@h/x", BadUrl::Userinfo),
            ("https://user@h/x", BadUrl::Userinfo),
            ("https://@h/x", BadUrl::Userinfo),
            ("https:///x", BadUrl::Host),
            ("https://:80/x", BadUrl::Host),
            ("https://h:/x", BadUrl::Host),
            ("https://h:0/x", BadUrl::Host),
            ("https://h:70000/x", BadUrl::Host),
            ("https://h:8a/x", BadUrl::Host),
            ("https://[::1/x", BadUrl::Host),
            ("https://[::1]8/x", BadUrl::Host),
            ("https://h/x#part", BadUrl::Fragment),
            ("https://h/a/../x", BadUrl::Dots),
            ("https://h/a/%2E./x", BadUrl::Dots),
            ("https://h/..", BadUrl::Dots),
            ("https://h/.", BadUrl::Dots),
            ("https://h", BadUrl::NoName),
            ("https://h/", BadUrl::NoName),
            ("https://h/a/", BadUrl::NoName),
            ("https://h/?x=y", BadUrl::NoName),
            ("https://h?x/y", BadUrl::NoName),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
        assert_eq!(Url::parse(&format!("http://h/{}", "x".repeat(256))), Err(BadUrl::LongName));
        assert!(Url::parse(&format!("http://h/{}", "x".repeat(255))).is_ok());
    }

    #[test]
    fn an_address_of_any_kind_is_no_file() {
        for text in ["http://h/x", "ftp://h/x", "s3://bucket/x"] {
            assert!(Url::is_meant(text), "{text}");
        }
        for text in ["./a.tar", "/srv/a:b", "://x", "./a://b", "1a://b"] {
            assert!(!Url::is_meant(text), "{text}");
        }
    }
}
