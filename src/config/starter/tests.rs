use super::*;

#[test]
fn what_all_have_is_common() {
    assert_eq!(common([Some(1), Some(1)].into_iter()), Some(1));
    assert_eq!(common([Some(1), None].into_iter()), None);
    assert_eq!(common([Some(1), Some(2)].into_iter()), None);
    assert_eq!(common(std::iter::empty::<Option<u8>>()), None);
}

#[test]
fn a_node_that_is_long_takes_several_lines() {
    let mut entry = Entry { name: "no".into(), groups: vec!["a".into(), "1".into()], ..Entry::default() };
    assert_eq!(entry.lines(), "  - { name: \"no\", groups: [a, \"1\"] }\n");
    entry.vars = vec![("on".into(), "1.10".into())];
    assert_eq!(
        entry.lines(),
        "  - name: \"no\"\n    groups: [a, \"1\"]\n    vars:\n      \"on\": \"1.10\"\n"
    );
    let long = Entry { name: "n".into(), host: Some("h".repeat(120)), ..Entry::default() };
    assert!(long.lines().starts_with("  - name: \"n\"\n    host: hhh"));
}
