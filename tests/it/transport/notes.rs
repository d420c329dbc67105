//! What a node notes of the sums of files: believed while nothing of the file has changed, and never planted.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rollgate::transport::Upload;

use super::copies::upload;
use super::node::{Node, SOON};

const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A node with a file that was copied there, and the note beside it.
async fn with_note(node: &Node) -> (Upload, PathBuf) {
    let from = node.dir.path().join("source");
    fs::write(&from, "the content").unwrap();
    let upload = upload(&from, format!("{}/test/staged/image", node.root())).await;
    node.session.put(&upload, &|_| {}, SOON).await.unwrap();
    let kept = note(&upload).expect("the node notes what it has just read through");
    (upload, kept)
}

fn note(upload: &Upload) -> Option<PathBuf> {
    let names =
        fs::read_dir(Path::new(&upload.to).parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    names.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".sum-"))
}

/// Makes a note say another sum: what believes it says that one.
fn mark(note: &Path) -> String {
    let text = fs::read_to_string(note).unwrap();
    let seen = text.lines().next().unwrap();
    let marked = format!("{seen}\n{OTHER}\n");
    fs::write(note, &marked).unwrap();
    marked
}

async fn recalled(node: &Node, upload: &Upload) -> String {
    let sums = node.session.recall(std::slice::from_ref(&upload.to), SOON).await.unwrap();
    sums[0].as_ref().map_or("-".to_owned(), |sum| sum.sha256.clone())
}

#[tokio::test]
async fn what_is_as_it_was_is_not_read_through_and_what_is_used_is() {
    for node in Node::both().await {
        let (upload, kept) = with_note(&node).await;
        assert_eq!(recalled(&node, &upload).await, upload.sum.sha256);
        mark(&kept);
        assert_eq!(recalled(&node, &upload).await, OTHER, "{}: the note is believed", node.how);
        let hashed = node.session.hash(std::slice::from_ref(&upload.to), SOON).await.unwrap();
        assert_eq!(hashed, [Some(upload.sum)], "{}", node.how);
    }
}

#[tokio::test]
async fn whatever_changes_of_a_file_has_it_read_through() {
    type Change = (&'static str, fn(&str) -> String);
    let changes: [Change; 6] = [
        ("written", |to| format!("printf 'the c0ntent' >'{to}'")),
        ("written, mtime put back", |to| {
            format!("cp -p '{to}' '{to}.old'; printf 'the c0ntent' >'{to}'; touch -r '{to}.old' '{to}'")
        }),
        ("swapped, mtime put back", |to| {
            format!("printf 'the c0ntent' >'{to}.new'; touch -r '{to}' '{to}.new'; mv '{to}.new' '{to}'")
        }),
        ("touched", |to| format!("touch '{to}'")),
        ("another mode", |to| format!("chmod 600 '{to}'")),
        ("longer", |to| format!("echo >>'{to}'; touch -d @1000000000 '{to}'")),
    ];
    let node = Node::local().await;
    for (what, change) in changes {
        let (upload, kept) = with_note(&node).await;
        mark(&kept);
        let status = Command::new("sh").args(["-ec", &change(&upload.to)]).status().unwrap();
        assert!(status.success(), "{what}");
        let hashed = node.session.hash(std::slice::from_ref(&upload.to), SOON).await.unwrap();
        let now = hashed[0].as_ref().unwrap().sha256.clone();
        assert_eq!(recalled(&node, &upload).await, now, "{what}");
        fs::remove_dir_all(node.root()).unwrap();
    }
}

#[tokio::test]
async fn a_planted_note_is_neither_believed_nor_written_through() {
    let node = Node::local().await;
    let (upload, kept) = with_note(&node).await;
    let marked = mark(&kept);
    let elsewhere = node.dir.path().join("elsewhere");
    fs::rename(&kept, &elsewhere).unwrap();

    symlink(&elsewhere, &kept).unwrap();
    assert_eq!(recalled(&node, &upload).await, upload.sum.sha256, "a link");
    let paths = [upload.to.clone()];
    node.session.note(&paths, SOON).await.unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), marked, "what a link leads to is not written");
    assert!(kept.symlink_metadata().unwrap().is_file());

    fs::remove_file(&kept).unwrap();
    fs::create_dir(&kept).unwrap();
    assert_eq!(node.session.note(&paths, SOON).await.unwrap(), [Some(upload.sum.clone())], "a directory");
    assert!(fs::read_dir(&kept).unwrap().next().is_none());
    fs::remove_dir(&kept).unwrap();

    for nonsense in ["", "\n", &marked[..marked.len() - 4], &marked.replace("000\n", "00;\n")] {
        fs::write(&kept, nonsense).unwrap();
        assert_ne!(recalled(&node, &upload).await, OTHER, "{nonsense:?}");
    }
    if rustix::process::geteuid().is_root() {
        fs::write(&kept, &marked).unwrap();
        chown(&kept, Some(12_345), None).unwrap();
        assert_eq!(recalled(&node, &upload).await, upload.sum.sha256, "another user's");
    }
}

#[tokio::test]
async fn who_only_reads_notes_nothing() {
    let node = Node::local().await;
    let (upload, kept) = with_note(&node).await;
    fs::remove_file(&kept).unwrap();
    assert_eq!(recalled(&node, &upload).await, upload.sum.sha256);
    node.session.hash(std::slice::from_ref(&upload.to), SOON).await.unwrap();
    assert_eq!(note(&upload), None);
    node.session.note(std::slice::from_ref(&upload.to), SOON).await.unwrap();
    mark(&kept);
    assert_eq!(recalled(&node, &upload).await, OTHER, "what had to be read through is noted");
}

#[tokio::test]
async fn a_file_elsewhere_and_one_that_nobody_stages_get_no_note() {
    let node = Node::local().await;
    let (mut other, kept) = with_note(&node).await;
    fs::remove_file(&kept).unwrap();
    other.noted = false;
    other.to.push_str(".put");
    node.session.put(&other, &|_| {}, SOON).await.unwrap();
    assert_eq!(note(&other), None);
    let outside = Upload { to: node.dir.path().join("outside").display().to_string(), noted: true, ..other };
    node.session.put(&outside, &|_| {}, SOON).await.unwrap();
    assert_eq!(note(&outside), None);
    let sums = node.session.note(std::slice::from_ref(&outside.to), SOON).await.unwrap();
    assert_eq!((sums, note(&outside)), (vec![Some(outside.sum.clone())], None));
}
