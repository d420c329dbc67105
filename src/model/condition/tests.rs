//! Values against conditions: what holds, what does not, what cannot be read.

use super::*;

fn judge(form: Form, tests: Vec<Test>, stdout: &str) -> Verdict {
    Condition { form, tests }.judge(Answer { exit: 0, stdout, stderr: "" }, &Vars::new()).1
}

fn t(text: &str) -> Template {
    Template::new(text)
}

#[test]
fn numbers_are_numbers() {
    assert!(judge(Form::Number, vec![Test::AtMost(t("100"))], " 94\n").holds());
    assert!(judge(Form::Number, vec![Test::Equals(t("5.0"))], "5\n").holds());
    assert_eq!(
        judge(Form::Number, vec![Test::AtMost(t("100"))], "4812\n"),
        Verdict::DoesNotHold { why: "needs <= 100".into() }
    );
    for text in ["", "lots", "NaN", "inf", "5 messages"] {
        assert!(matches!(judge(Form::Number, vec![Test::AtMost(t("1"))], text), Verdict::Unreadable { .. }));
    }
}

#[test]
fn a_failing_command_is_unreadable_not_a_pass() {
    let condition = Condition { form: Form::Lines, tests: vec![Test::CountAtMost(0)] };
    let (value, verdict) =
        condition.judge(Answer { exit: 127, stdout: "", stderr: "sh: ss: not found\n" }, &Vars::new());
    assert_eq!(value, None);
    assert_eq!(
        verdict,
        Verdict::Unreadable { why: "the command ended with exit status 127: sh: ss: not found".into() }
    );
}

#[test]
fn exit_status_is_the_default() {
    let condition = Condition::default();
    let at = |exit| condition.judge(Answer { exit, stdout: "x", stderr: "" }, &Vars::new()).1.holds();
    assert!(at(0));
    assert!(!at(1));
}

#[test]
fn text_lines_and_json() {
    assert!(judge(Form::Text, vec![Test::Equals(t("2.0"))], "2.0\n").holds());
    assert!(!judge(Form::Text, vec![Test::Equals(t("2"))], "2.0\n").holds());
    assert!(judge(Form::Text, vec![Test::OneOf(vec![t("a"), t("b")])], "b").holds());
    assert!(judge(Form::Lines, vec![Test::CountAtMost(1)], "one\n\n").holds());
    assert!(judge(Form::Lines, vec![Test::Matches(t("^ok"))], "ok 1\nok 2").holds());
    assert!(!judge(Form::Lines, vec![Test::Matches(t("^ok"))], "ok 1\nbad").holds());
    assert!(!judge(Form::Text, vec![Test::Matches(t(""))], "").holds(), "silence matches nothing");
    let json = Form::Json { at: ".items[1].state".into() };
    let document = r#"{"items":[{}, {"state":"up"}]}"#;
    assert!(judge(json.clone(), vec![Test::Equals(t("up"))], document).holds());
    assert!(matches!(judge(json, vec![Test::Equals(t("up"))], "{}"), Verdict::Unreadable { .. }));
}

#[test]
fn an_unset_variable_is_unreadable() {
    assert!(matches!(
        judge(Form::Text, vec![Test::NotEquals(t("${nothing}"))], "x"),
        Verdict::Unreadable { .. }
    ));
}
