//! The page typed in as it stands: what is wrong with it is said before anything runs.

use std::collections::BTreeMap;
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
    // It does not run, so its warnings are read with what cannot work taken out.
    let told = output.raw_stderr();
    eprintln!("{told}");
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in
        ["unset-variable", "copied-prompt", "appends", "hidden-failure", "secret-shown", "secret-argument"]
    {
        count.insert(rule, told.matches(rule).count());
    }
    eprintln!("{count:#?}");
}
