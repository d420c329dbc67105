//! Who is offered what, when, and how often somebody is asked.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;

const PACE: Pace = Pace { in_line: Duration::from_millis(200), pause: Duration::from_millis(300) };

/// Types from a list.
#[derive(Default)]
struct Typist {
    lines: Mutex<VecDeque<Typed>>,
    asked: Mutex<Vec<(NodeName, bool)>>,
}

impl Typist {
    fn of(lines: &[&str]) -> Arc<Self> {
        let typed = |line: &&str| match *line {
            "" => Typed::Nothing,
            "^C" => Typed::NoMore,
            line => Typed::Line(Secret::new(line.to_owned())),
        };
        Arc::new(Self { lines: Mutex::new(lines.iter().map(typed).collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().unwrap().iter().map(|(node, again)| (node.to_string(), *again)).collect()
    }
}

impl Person for Typist {
    fn ask<'a>(&'a self, question: &'a Query) -> BoxFuture<'a, Typed> {
        self.asked.lock().unwrap().push((question.challenge.node.clone(), question.again));
        let line = self.lines.lock().unwrap().pop_front().expect("nobody expects this question");
        Box::pin(async move { line })
    }

    fn tell(&self, _: &NodeName, _: &str) {}
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

fn named(secret: &str) -> VarName {
    VarName::parse(secret).unwrap()
}

fn asks(name: &str, wanted: Wanted) -> Challenge {
    let said = format!("{wanted:?}");
    Challenge { node: node(name), password: None, wanted, said, given: 0, has_terminal: false }
}

fn password(name: &str) -> Challenge {
    asks(name, Wanted::Password)
}

fn secret(name: &str) -> Challenge {
    Challenge { password: Some(named("pw")), ..password(name) }
}

fn again(challenge: &Challenge) -> Challenge {
    Challenge { given: challenge.given + 1, ..challenge.clone() }
}

fn with_secret() -> Keyring {
    let keyring = Keyring { pace: PACE, ..Keyring::default() };
    keyring.know(&Secrets::of_values([("pw".to_owned(), Secret::new("hunter22".to_owned()))].into()));
    keyring
}

fn with(typist: &Arc<Typist>) -> Keyring {
    let keyring = Keyring { pace: PACE, ..Keyring::default() };
    let person: Arc<dyn Person> = Arc::clone(typist) as _;
    keyring.ask(Some(person));
    keyring
}

#[tokio::test]
async fn what_was_typed_is_hidden_from_when_it_has_opened_something() {
    let secrets = Secrets::default();
    let keyring = with(&Typist::of(&["wrong-word", "right-word", "own-of-n2"]));
    keyring.know(&secrets);
    let n1 = password("n1");
    for wanted in ["wrong-word", "right-word"] {
        let given = u32::from(wanted == "right-word");
        let asked = Challenge { given, ..n1.clone() };
        assert_eq!(text(&keyring, &asked).await, Ok(wanted.to_owned()));
        assert_eq!(secrets.mask(wanted), wanted);
    }
    keyring.ended(&node("n1"), Verdict::Accepted);
    assert_eq!(secrets.mask("wrong-word right-word"), "wrong-word ***");
    let n2 = password("n2");
    text(&keyring, &n2).await.unwrap();
    text(&keyring, &again(&n2)).await.unwrap();
    keyring.ended(&node("n2"), Verdict::Accepted);
    assert_eq!(secrets.mask("own-of-n2"), "***");
    // The same process may go on with other secrets.
    let later = Secrets::default();
    keyring.know(&later);
    assert_eq!(later.mask("right-word own-of-n2"), "*** ***");
}

async fn text(keyring: &Keyring, challenge: &Challenge) -> Result<String, NoAnswer> {
    keyring.answer(challenge).await.map(|secret| secret.reveal().to_owned())
}

/// Whether an answer does not come for now.
async fn waits(keyring: &Keyring, challenge: &Challenge) -> bool {
    tokio::time::timeout(Duration::from_millis(1), keyring.answer(challenge)).await.is_err()
}

#[tokio::test]
async fn a_secret_is_tried_at_one_node_before_the_others_are_offered_it() {
    let keyring = with_secret();
    assert_eq!(keyring.reach(Some(&named("pw"))), Reach::Known);
    assert_eq!(keyring.reach(None), Reach::Nothing);
    assert_eq!(text(&keyring, &secret("n1")).await, Ok("hunter22".to_owned()));
    assert!(waits(&keyring, &secret("n2")).await);
    keyring.ended(&node("n1"), Verdict::Accepted);
    for name in ["n2", "n3"] {
        assert_eq!(text(&keyring, &secret(name)).await, Ok("hunter22".to_owned()));
    }
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_counted_at_one_node_alone() {
    let keyring = with_secret();
    let (n1, n2) = (secret("n1"), secret("n2"));
    let refused = Err(NoAnswer::Refused { secret: named("pw") });
    text(&keyring, &n1).await.unwrap();
    assert_eq!(text(&keyring, &again(&n1)).await, refused);
    keyring.ended(&node("n1"), Verdict::Refused);
    assert_eq!(text(&keyring, &n2).await, Err(NoAnswer::Withheld { secret: named("pw"), by: node("n1") }));
    // A new connection is no new chance, and neither is time.
    assert_eq!(text(&keyring, &n1).await, refused);
    tokio::time::sleep(PACE.pause * 2).await;
    assert_eq!(text(&keyring, &n1).await, refused);
}

#[tokio::test]
async fn a_try_that_told_nothing_leaves_the_others_to_find_out() {
    let keyring = with_secret();
    text(&keyring, &secret("n1")).await.unwrap();
    keyring.ended(&node("n1"), Verdict::Unclear);
    assert!(text(&keyring, &secret("n2")).await.is_ok());
    assert!(waits(&keyring, &secret("n1")).await);
}

#[tokio::test]
async fn a_node_that_is_starting_is_offered_its_secret_a_few_times_more() {
    let keyring = with_secret();
    let n1 = secret("n1");
    text(&keyring, &n1).await.unwrap();
    keyring.ended(&node("n1"), Verdict::Accepted);
    for _ in 0..2 {
        text(&keyring, &n1).await.unwrap();
        assert_eq!(text(&keyring, &again(&n1)).await, Err(NoAnswer::NotYet));
        assert!(keyring.ended(&node("n1"), Verdict::Refused));
        assert_eq!(text(&keyring, &n1).await, Err(NoAnswer::NotYet), "it is too soon");
        tokio::time::sleep(PACE.pause * 2).await;
    }
    text(&keyring, &n1).await.unwrap();
    assert!(!keyring.ended(&node("n1"), Verdict::Refused));
    tokio::time::sleep(PACE.pause * 2).await;
    assert_eq!(text(&keyring, &n1).await, Err(NoAnswer::Refused { secret: named("pw") }));
}

#[tokio::test]
async fn a_node_that_is_starting_has_nobody_asked_anew() {
    let typist = Typist::of(&["right"]);
    let keyring = with(&typist);
    let n1 = password("n1");
    text(&keyring, &n1).await.unwrap();
    keyring.ended(&node("n1"), Verdict::Accepted);
    text(&keyring, &n1).await.unwrap();
    assert_eq!(text(&keyring, &again(&n1)).await, Err(NoAnswer::NotYet));
    assert!(keyring.ended(&node("n1"), Verdict::Refused));
    tokio::time::sleep(PACE.pause * 2).await;
    assert_eq!(text(&keyring, &n1).await, Ok("right".to_owned()));
    assert_eq!(typist.asked().len(), 1);
}

#[tokio::test]
async fn a_password_is_typed_once_for_all_and_again_where_it_is_wrong() {
    let typist = Typist::of(&["wrong", "right", "of n2"]);
    let keyring = with(&typist);
    let (n1, n2, n3) = (password("n1"), password("n2"), password("n3"));
    assert_eq!(text(&keyring, &n1).await, Ok("wrong".to_owned()));
    assert!(waits(&keyring, &n2).await);
    assert_eq!(text(&keyring, &again(&n1)).await, Ok("right".to_owned()));
    assert!(waits(&keyring, &n2).await, "it is not proven yet");
    keyring.ended(&node("n1"), Verdict::Accepted);
    assert_eq!(text(&keyring, &n3).await, Ok("right".to_owned()));
    assert_eq!(text(&keyring, &n2).await, Ok("right".to_owned()));
    assert_eq!(text(&keyring, &again(&n2)).await, Ok("of n2".to_owned()));
    keyring.ended(&node("n2"), Verdict::Accepted);
    // Reconnecting asks nobody.
    keyring.ask(None);
    assert_eq!(keyring.reach(None), Reach::Known);
    assert_eq!(text(&keyring, &n2).await, Ok("of n2".to_owned()));
    assert_eq!(text(&keyring, &n1).await, Ok("right".to_owned()));
    let asked = [("n1", false), ("n1", true), ("n2", true)];
    assert_eq!(typist.asked(), asked.map(|(node, again)| (node.to_owned(), again)));
}

#[tokio::test]
async fn a_password_that_was_typed_for_a_login_that_broke_is_not_typed_again() {
    let typist = Typist::of(&["right"]);
    let keyring = with(&typist);
    text(&keyring, &password("n1")).await.unwrap();
    keyring.ended(&node("n1"), Verdict::Unclear);
    assert_eq!(text(&keyring, &password("n2")).await, Ok("right".to_owned()));
    assert!(waits(&keyring, &password("n1")).await, "it is not proven yet");
    assert_eq!(typist.asked().len(), 1);
}

#[tokio::test]
async fn a_password_that_no_node_took_is_not_offered_to_the_next() {
    let typist = Typist::of(&["wrong", "right"]);
    let keyring = with(&typist);
    text(&keyring, &password("n1")).await.unwrap();
    keyring.ended(&node("n1"), Verdict::Refused);
    assert_eq!(text(&keyring, &password("n2")).await, Ok("right".to_owned()));
}

#[tokio::test]
async fn a_passphrase_is_asked_once_for_all_nodes() {
    let typist = Typist::of(&["typo", "right"]);
    let keyring = with(&typist);
    let key = |name| asks(name, Wanted::Passphrase { key: "/keys/id".to_owned() });
    assert_eq!(text(&keyring, &key("n1")).await, Ok("typo".to_owned()));
    assert!(waits(&keyring, &key("n2")).await);
    assert_eq!(text(&keyring, &again(&key("n1"))).await, Ok("right".to_owned()));
    // Even a node that does not know the key leaves its passphrase right.
    keyring.ended(&node("n1"), Verdict::Unclear);
    assert_eq!(text(&keyring, &key("n2")).await, Ok("right".to_owned()));
    assert_eq!(typist.asked().len(), 2);
}

#[tokio::test]
async fn a_jump_hosts_password_is_not_the_nodes() {
    let typist = Typist::of(&["of the jump host", "of the node"]);
    let keyring = with(&typist);
    let jump = |name| asks(name, Wanted::OtherPassword);
    assert_eq!(text(&keyring, &jump("n1")).await, Ok("of the jump host".to_owned()));
    assert!(waits(&keyring, &jump("n2")).await);
    assert_eq!(text(&keyring, &password("n1")).await, Ok("of the node".to_owned()));
    // The jump host has let n1 through.
    assert_eq!(text(&keyring, &jump("n2")).await, Ok("of the jump host".to_owned()));
}

#[tokio::test]
async fn a_code_is_asked_every_time() {
    let typist = Typist::of(&["111111", "222222"]);
    let keyring = with(&typist);
    for code in ["111111", "222222"] {
        assert_eq!(text(&keyring, &asks("n1", Wanted::Code)).await, Ok(code.to_owned()));
        keyring.ended(&node("n1"), Verdict::Accepted);
    }
    keyring.ask(None);
    assert_eq!(text(&keyring, &asks("n1", Wanted::Code)).await, Err(NoAnswer::Nobody));
}

#[tokio::test]
async fn no_answer_is_not_asked_for_twice() {
    let typist = Typist::of(&["", "^C"]);
    let keyring = with(&typist);
    let key = |name| asks(name, Wanted::Passphrase { key: "/keys/id".to_owned() });
    for name in ["n1", "n2"] {
        assert_eq!(text(&keyring, &key(name)).await, Err(NoAnswer::Declined), "{name}");
    }
    assert_eq!(text(&keyring, &password("n1")).await, Err(NoAnswer::Declined));
    assert_eq!(text(&keyring, &asks("n2", Wanted::Code)).await, Err(NoAnswer::Nobody));
    assert_eq!(typist.asked().len(), 2);
}

#[tokio::test]
async fn who_stands_in_line_too_long_begins_anew() {
    let keyring = with_secret();
    text(&keyring, &secret("n1")).await.unwrap();
    assert_eq!(text(&keyring, &secret("n2")).await, Err(NoAnswer::Stale));
}
