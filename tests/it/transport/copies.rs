//! Files to and from nodes: whole or not at all, continued where they were cut, never outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollgate::model::host::Become;
use rollgate::transport::{Copied, FileSum, TransportError, Upload, hash_file};

use super::node::{Node, SOON};

/// A file of so many bytes, not all alike.
fn file(dir: &Path, size: usize) -> PathBuf {
    let path = dir.join(format!("source-{size}"));
    let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
    fs::write(&path, bytes).unwrap();
    path
}

pub(super) async fn upload(from: &Path, to: String) -> Upload {
    let sum = hash_file(from).await.unwrap();
    Upload { from: from.to_owned(), sum, to, mode: 0o640, become_with: Become::None, noted: true }
}

async fn put(node: &Node, upload: &Upload) -> Result<Copied, TransportError> {
    node.session.put(upload, &|_| {}, SOON).await
}

/// Begins to copy and is cut off once half of it is on its way.
async fn cut(node: &Node, upload: &Upload) {
    let (half, mut reached) = tokio::sync::mpsc::unbounded_channel();
    let most = upload.sum.size / 2;
    let (session, upload) = (Arc::clone(&node.session), upload.clone());
    let copy = tokio::spawn(async move {
        let progress = move |at| {
            if at > most {
                let _ = half.send(());
            }
        };
        session.put(&upload, &progress, SOON).await
    });
    reached.recv().await.unwrap();
    copy.abort();
    let _ = copy.await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn part(dir: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
    names.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".part-"))
}

#[tokio::test]
async fn a_file_arrives_with_its_mode_and_again_is_nothing_to_do() {
    for node in Node::both().await {
        let from = file(node.dir.path(), 300_000);
        let upload = upload(&from, format!("{}/stage/abc/it's here", node.root())).await;
        let heard = std::sync::Mutex::new(Vec::new());
        let copied = node.session.put(&upload, &|at| heard.lock().unwrap().push(at), SOON).await.unwrap();
        assert_eq!(copied, Copied { sum: upload.sum.clone(), sent: 300_000, unchanged: false });
        assert_eq!(heard.lock().unwrap().last(), Some(&300_000));
        assert_eq!(fs::read(&upload.to).unwrap(), fs::read(&from).unwrap());
        assert_eq!(fs::metadata(&upload.to).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::metadata(node.root()).unwrap().permissions().mode() & 0o777, 0o700);
        let again = put(&node, &upload).await.unwrap();
        assert_eq!(again, Copied { sum: upload.sum.clone(), sent: 0, unchanged: true });
        let asked = [upload.to.clone(), "/no/such/file".to_owned()];
        let sums = node.session.hash(&asked, SOON).await.unwrap();
        assert_eq!(sums, [Some(upload.sum), None]);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    for node in Node::both().await {
        let upload = upload(&file(node.dir.path(), 0), format!("{}/empty", node.root())).await;
        put(&node, &upload).await.unwrap();
        assert_eq!(fs::read(&upload.to).unwrap(), b"");
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_goes_on_where_it_was() {
    for node in Node::both().await {
        let from = file(node.dir.path(), 8 << 20);
        let upload = upload(&from, format!("{}/big", node.root())).await;
        cut(&node, &upload).await;
        assert!(!Path::new(&upload.to).exists(), "{}: it appears whole or not at all", node.how);
        let kept = fs::metadata(part(Path::new(node.root())).unwrap()).unwrap().len();
        assert!(kept > 0);
        let copied = put(&node, &upload).await.unwrap();
        assert_eq!(copied.sent, upload.sum.size - kept, "{}", node.how);
        assert_eq!(hash_file(Path::new(&upload.to)).await.unwrap(), upload.sum);
        assert_eq!(part(Path::new(node.root())), None);
    }
}

#[tokio::test]
async fn a_damaged_part_is_thrown_away_and_copied_anew() {
    for node in Node::both().await {
        let upload = upload(&file(node.dir.path(), 8 << 20), format!("{}/big", node.root())).await;
        cut(&node, &upload).await;
        let part = part(Path::new(node.root())).unwrap();
        let mut bytes = fs::read(&part).unwrap();
        bytes[0] ^= 1;
        fs::write(&part, bytes).unwrap();
        let copied = put(&node, &upload).await.unwrap();
        assert_eq!(copied.sent, upload.sum.size);
        assert_eq!(hash_file(Path::new(&upload.to)).await.unwrap(), upload.sum);
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_it_should_be_never_takes_its_place() {
    for node in Node::both().await {
        let mut upload = upload(&file(node.dir.path(), 1000), format!("{}/file", node.root())).await;
        fs::create_dir(node.root()).unwrap();
        fs::write(&upload.to, "before").unwrap();
        upload.sum.sha256 = "0".repeat(64);
        let error = put(&node, &upload).await.unwrap_err();
        assert!(error.to_string().contains("sha256 differs"), "{error}");
        assert_eq!(fs::read(&upload.to).unwrap(), b"before");
        assert_eq!(part(Path::new(node.root())), None);
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_says_why() {
    for node in Node::both().await {
        let from = file(node.dir.path(), 10);
        let outside = upload(&from, format!("{}/missing/file", node.dir.path().display())).await;
        let error = put(&node, &outside).await.unwrap_err();
        assert!(error.to_string().contains("there is no directory"), "{error}");
        let onto = upload(&from, node.dir.path().display().to_string()).await;
        let error = put(&node, &onto).await.unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error}");
        for to in ["relative", "/a\n.\nb", "/dir/"] {
            let error = put(&node, &upload(&from, to.to_owned()).await).await.unwrap_err();
            assert!(matches!(error, TransportError::Refused { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_planted_link_is_not_written_through() {
    for node in Node::both().await {
        let target = node.dir.path().join("elsewhere");
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, node.root()).unwrap();
        let upload = upload(&file(node.dir.path(), 10), format!("{}/x", node.root())).await;
        let error = put(&node, &upload).await.unwrap_err();
        assert!(error.to_string().contains("is a link"), "{error}");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn a_file_is_fetched_privately_and_never_over_another() {
    for node in Node::both().await {
        let from = file(node.dir.path(), 2_000_000);
        let to = node.dir.path().join("fetched");
        let copied = node.session.get(from.to_str().unwrap(), &to, SOON).await.unwrap();
        assert_eq!(copied.sum, hash_file(&from).await.unwrap());
        assert_eq!(fs::read(&to).unwrap(), fs::read(&from).unwrap());
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&to, "mine").unwrap();
        let error = node.session.get(from.to_str().unwrap(), &to, SOON).await.unwrap_err();
        assert!(matches!(error, TransportError::Here { .. }), "{error:?}");
        assert_eq!(fs::read(&to).unwrap(), b"mine");
        let error = node.session.get("/no/such/file", &node.dir.path().join("y"), SOON).await.unwrap_err();
        assert!(error.to_string().contains("there is no file"), "{error}");
        assert_eq!(part(node.dir.path()), None);
    }
}

#[tokio::test]
async fn what_was_staged_is_removed_and_nothing_else() {
    for node in Node::both().await {
        let root = PathBuf::from(node.root());
        let staged = root.join("stage/abc");
        fs::create_dir_all(staged.join("deep")).unwrap();
        fs::write(staged.join("deep/file"), "x").unwrap();
        for _ in 0..2 {
            node.session.remove(staged.to_str().unwrap(), SOON).await.unwrap();
            assert!(!staged.exists());
        }
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "no trash is left");
        let precious = node.dir.path().join("precious");
        fs::create_dir(&precious).unwrap();
        std::os::unix::fs::symlink(node.dir.path(), root.join("link")).unwrap();
        let paths = [
            precious.to_str().unwrap().to_owned(),
            format!("{}/../precious", root.display()),
            root.display().to_string(),
            format!("{}/", root.display()),
            "/".to_owned(),
            format!("{}x/y", root.display()),
            format!("{}/link/precious", root.display()),
        ];
        for path in paths {
            let error = node.session.remove(&path, SOON).await.unwrap_err();
            assert!(
                matches!(error, TransportError::Refused { .. } | TransportError::Copy { .. }),
                "{path}: {error:?}"
            );
        }
        assert!(precious.exists() && root.exists());
    }
}

#[test]
fn sums_are_what_sha256sum_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("abc");
    fs::write(&path, "abc").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sum = runtime.block_on(hash_file(&path)).unwrap();
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
    assert_eq!(sum, FileSum { size: 3, sha256 });
}
