//! The page typed in as it stands: what is wrong with it is said before anything runs.

use std::fs;

use super::Project;

/// Every command of the page, a step each, without the prompt and with no more thought.
const PAGE: &str = include_str!("page.yaml");

#[test]
fn the_page_typed_in_as_it_stands() {
    let project = Project::new();
    fs::write(project.path("page.yaml"), PAGE).unwrap();
    project.edit("inventory.yaml", "./procedure.yaml", "./page.yaml");
    let output = project.rollgate(&["check", "--syntax-only"]).run();
    output.code(2);
    let told = output.raw_stderr();
    let count = |rule: &str| told.matches(&format!("^ {rule}")).count();
    // The line on which a step begins whose commands have this text.
    let line = |text: &str| PAGE.lines().position(|line| line.contains(text)).unwrap();
    let has = |rule: &str, text: &str| {
        let place = format!("page.yaml:{}:14", line(text));
        let found = told.split("-->").skip(1).any(|part| {
            let own = part.split("= help").next().unwrap();
            own.contains(&place) && own.contains(rule)
        });
        assert!(found, "no {rule} at {place}\n{told}");
    };
    output.stderr_has("`ZYNC_REPLICAS` is not set").stderr_has("leave it out: oc edit configmap system");
    has("unset-variable", "${ZYNC_REPLICAS}");
    has("copied-prompt", "$ oc edit configmap system");
    for stream in ["system", "apicast", "backend", "zync", "wildcard-router"] {
        has("appends", &format!("oc patch imagestream/amp-{stream}"));
    }
    has("hidden-failure", "pg_dumpall");
    has("secret-shown", "echo $RESULT_MYSQL_USER");
    has("secret-shown", "oc get secret system-database -o yaml");
    has("secret-shown", r#"'.data["DB_USER"]' | base64 -d"#);
    has("secret-argument", "oc patch secret/system-database");
    let counts =
        ["unset-variable", "copied-prompt", "appends", "hidden-failure", "secret-shown", "secret-argument"]
            .map(|rule| (rule, count(rule)));
    println!("the page as it stands: {counts:?}");
    assert_eq!(counts.map(|(_, count)| count), [11, 1, 6, 9, 3, 1]);
}
