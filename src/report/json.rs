//! The report as one document for programs: a summary, and the journal's own records. Numbers are numbers, absent
//! is null, words are `lower_snake`; fields are added with a minor version and changed with a major one.

use serde_json::{Value, json};

use super::content;
use super::mark;
use super::story::Story;
use super::{Facts, Mask};
use crate::model::duration::between;
use crate::model::run;
use crate::model::stand::Stand;

/// Builds the document, masked.
pub(super) fn document(facts: &Facts<'_>, story: &Story<'_>) -> Value {
    let (state, moment) = (story.state, facts.moment);
    let plan = &state.plan;
    let mut events = serde_json::to_value(story.records).unwrap_or_default();
    events.as_array_mut().into_iter().flatten().for_each(hide_sources);
    let document = json!({
        "format": "rollgate/report",
        "format_version": "1.0",
        "rollgate": env!("CARGO_PKG_VERSION"),
        "made_at": moment.iso(moment.now),
        "cluster": plan.cluster,
        "procedure": plan.procedure,
        "from": content::before(state),
        "to": plan.to,
        "run": run_object(facts, story),
        "nodes": run::nodes_of(state).into_iter().map(|node| {
            let versions = state.versions.get(node);
            json!({
                "name": node,
                "before": versions.map(|versions| &versions.before),
                "after": versions.map(|versions| &versions.now),
                "state": Stand::of(state, node).code(),
                "retries": story.retries.get(node).copied().unwrap_or(0),
                "seconds": run::time_by_part(state, node).into_iter()
                    .map(|(part, time)| (part.to_owned(), json!(time.as_secs_f64())))
                    .collect::<serde_json::Map<_, _>>(),
            })
        }).collect::<Vec<_>>(),
        "seconds": content::spent_by_part(story).into_iter()
            .map(|(part, time)| (part.replace(' ', "_"), json!(time.as_secs_f64())))
            .collect::<serde_json::Map<_, _>>(),
        "invocations": story.invocations.iter().map(|one| json!({
            "for": content::goal(one),
            "by": { "user": one.request.by.user, "host": one.request.by.host },
            "args": one.request.args,
            "insecure_files": one.request.insecure_files,
            "started_at": moment.iso(one.from),
            "ended_at": one.end.map(|_| moment.iso(one.to)),
        })).collect::<Vec<_>>(),
        "marks": marks(facts, story),
        "answered_by_yes_flag": mark::passed_by_flag(story.records),
        "failures": story.troubles.iter().map(|trouble| json!({
            "mark": trouble.mark,
            "node": trouble.key.node,
            "step": trouble.key.step,
            "title": trouble.title,
            "attempt": trouble.attempt,
            "command": trouble.command,
            "message": trouble.failure.message,
            "help": trouble.failure.help,
            "output": trouble.failure.tail,
        })).collect::<Vec<_>>(),
        "outstanding": run::outstanding(state),
        "evidence": evidence(facts, story),
        "events": events,
    });
    masked(document, facts.mask)
}

fn run_object(facts: &Facts<'_>, story: &Story<'_>) -> Value {
    let (state, moment) = (story.state, facts.moment);
    json!({
        "id": state.run,
        "state": state.status().word().replace('-', "_"),
        "unfinished": state.is_open(),
        "at_work": story.at_work,
        "change": content::change(story),
        "by": { "user": state.opened.by.user, "host": state.opened.by.host },
        "started_at": moment.iso(state.opened_at),
        "ended_at": state.end.is_some().then(|| moment.iso(story.until)),
        "seconds": between(state.opened_at, story.until).as_secs_f64(),
        "result": content::result(story),
        "exit_code": facts.exit.map(|(code, _)| code),
        "flaw": facts.journal.flaw,
    })
}

fn evidence(facts: &Facts<'_>, story: &Story<'_>) -> Value {
    let file = |role: &str| facts.files.iter().find(|file| file.role == role);
    let place = |role| file(role).map(|file| json!({ "path": file.path, "sha256": file.sha256 }));
    json!({
        "inventory": place("inventory"),
        "procedure": place("procedure"),
        "journal": { "path": facts.journal.path, "sha256": facts.journal.sha256 },
        "artifacts": story.state.plan.artifacts.iter().map(|artifact| json!({
            "name": artifact.name,
            "bytes": artifact.origin.size(),
            "url": artifact.origin.url(),
            "sha256": artifact.sha256,
        })).collect::<Vec<_>>(),
        "unknown_secrets": facts.unknown_secrets,
    })
}

fn marks(facts: &Facts<'_>, story: &Story<'_>) -> Vec<Value> {
    let mark = |mark: &mark::Mark| {
        json!({
            "number": mark.number,
            "kind": mark.kind.word(),
            "at": facts.moment.iso(mark.at),
            "node": mark.node,
            "who": mark.who,
            "what": mark.what,
            "readings": mark.readings,
            "reason": mark.reason,
        })
    };
    story.marks.iter().map(mark).collect()
}

/// Takes out of a record where secrets come from and who is told: the command that prints a secret may have another
/// in its words, and the address of a webhook is one.
pub fn hide_sources(record: &mut Value) {
    if let Some(run) = record.pointer_mut("/event/run_opened/plan/notify/run") {
        *run = json!("***");
    }
    if let Some(Value::Object(secrets)) = record.pointer_mut("/event/run_opened/plan/secrets") {
        secrets.values_mut().for_each(|source| *source = json!({ "command": "***" }));
    }
}

/// Masks every string and every key of a document.
pub fn masked(value: Value, mask: Mask<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(mask(&text)),
        Value::Array(items) => items.into_iter().map(|item| masked(item, mask)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (mask(&name), masked(value, mask))).collect()
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::event::Event;
    use crate::model::inventory::{Notify, SecretSource};
    use crate::model::name::VarName;
    use crate::model::sample;

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let value = json!({ "a": ["hunter22", { "hunter22": 1, "b": "is hunter22" }], "c": null });
        let shown = masked(value, &|text| text.replace("hunter22", "***")).to_string();
        assert_eq!(shown, r#"{"a":["***",{"***":1,"b":"is ***"}],"c":null}"#);
    }

    #[test]
    fn where_secrets_come_from_is_nobodys_business() {
        let mut events = sample::events();
        let Event::RunOpened { plan, .. } = &mut events[0].1 else { panic!("a run is opened first") };
        let source = SecretSource::Command("vault -token=abc".into());
        plan.secrets.insert(VarName::parse("password").unwrap(), source);
        plan.notify = Some(Notify { run: "curl https://hook/abc".into(), timeout: Duration::from_secs(1) });
        let mut record = serde_json::to_value(&sample::records(events)[0]).unwrap();
        hide_sources(&mut record);
        assert!(!record.to_string().contains("abc"), "{record}");
        assert!(record.to_string().contains("password"), "{record}");
    }
}
