//! Artifacts: files that are copied, and addresses from which nodes fetch them themselves.

use super::super::path::Path;
use super::super::raw::Scalar;
use super::super::raw::procedure::RawArtifact;
use super::super::raw::words::FETCHES;
use super::desk::Desk;
use super::known::Known;
use super::procedure::nodes;
use crate::model::procedure::{Artifact, Source, is_sha256};
use crate::model::template::Template;
use crate::model::url::{BadUrl, Url};

pub(super) fn artifacts(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &[RawArtifact],
) -> Option<Vec<Artifact>> {
    let all: Vec<_> =
        raw.iter().enumerate().map(|(index, raw)| artifact(desk, known, &path.index(index), raw)).collect();
    all.into_iter().collect()
}

fn artifact(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawArtifact) -> Option<Artifact> {
    let source = match &raw.fetch {
        Some(fetch) => fetched(desk, known, path, raw, fetch),
        None => copied(desk, known, path, raw),
    };
    let nodes = nodes(desk, known, &path.key("nodes"), raw.nodes.as_ref());
    Some(Artifact { source: source?, nodes: nodes? })
}

fn copied(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawArtifact) -> Option<Source> {
    let source =
        desk.needed(path, "source", raw.source.as_ref(), "the file on this machine that `stage` copies");
    let file = source.and_then(|source| file(desk, known, &path.key("source"), source));
    let help = "64 hexadecimal digits, as sha256sum prints them; without the key the file's own sum holds";
    let sha256 = raw.sha256.as_ref().and_then(|sum| sum_of(desk, known, &path.key("sha256"), sum, help));
    Some(Source::File { path: file?, base: desk.directory(), sha256 })
}

fn fetched(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawArtifact,
    fetch: &Scalar,
) -> Option<Source> {
    let by_node = desk.choice(&path.key("fetch"), fetch, FETCHES);
    let source =
        desk.needed(path, "source", raw.source.as_ref(), "the URL from which each node fetches the file");
    let url = source.and_then(|source| url(desk, known, &path.key("source"), source));
    let help =
        "the sum that whoever publishes the file names; nothing else says that a node got the right one";
    let sum = desk.needed(path, "sha256", raw.sha256.as_ref(), help);
    let help = "64 hexadecimal digits, as sha256sum prints them";
    let sha256 = sum.and_then(|sum| sum_of(desk, known, &path.key("sha256"), sum, help));
    by_node.and(url).zip(sha256).map(|(url, sha256)| Source::Url { url, sha256 })
}

fn sum_of(desk: &Desk<'_>, known: &Known<'_>, path: &Path, sum: &Scalar, help: &str) -> Option<Template> {
    let sum = known.template(desk, path, sum)?;
    if sum.is_literal() && !is_sha256(sum.as_str()) {
        desk.wrong(path, "this is no SHA-256 sum", "this value", help);
    }
    Some(sum)
}

fn file(desk: &Desk<'_>, known: &Known<'_>, path: &Path, source: &Scalar) -> Option<Template> {
    let file = known.path(desk, path, source)?;
    if Url::is_meant(file.as_str()) {
        let help = "write `fetch: node` beside it, and each node fetches it itself; or download it and name the file";
        let what = "this is a URL, and rollgate downloads nothing itself";
        if file.as_str().contains('@') {
            desk.wrong_unseen(path, what, "this value", help);
        } else {
            desk.wrong(path, what, "this value", help);
        }
        return None;
    }
    Some(file)
}

/// An address, as far as it can be known before its variables are.
fn url(desk: &Desk<'_>, known: &Known<'_>, path: &Path, source: &Scalar) -> Option<Template> {
    let template = known.template(desk, path, source)?;
    let begins_with = |name: &str| template.as_str().starts_with(&format!("${{{name}}}"));
    // What fits anywhere, so that only what is written can be wrong.
    let filled =
        template.render_with(|name| Some(if begins_with(name) { "http://1/1" } else { "1" })).ok()?;
    match Url::parse(&filled) {
        Ok(_) => return Some(template),
        Err(BadUrl::Scheme) => desk.wrong(
            path,
            "this is no http or https URL, and `fetch: node` needs one",
            "this value",
            "write where nodes fetch it from, such as https://mirror.example/app.tar; without `fetch: node` rollgate \
             copies a file",
        ),
        Err(why @ BadUrl::Userinfo) => desk.wrong_unseen(
            path,
            format!("this URL cannot be used: {why}"),
            "this value",
            "serve the file to the nodes without a password; or download it, name the file and leave out `fetch: node`",
        ),
        Err(why) => desk.wrong(
            path,
            format!("this URL cannot be used: {why}"),
            "this value",
            "write the whole address of one file, such as https://mirror.example/app.tar",
        ),
    }
    None
}
