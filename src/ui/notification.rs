//! What a command that tells people of a run is given: one JSON object. Fields are added with a minor version and
//! changed with a major one, as in [`super::status`].

use serde_json::{Value as Json, json};

use crate::model::event::{Inquiry, Question};
use crate::model::state::RunState;

use super::after;
use super::approve;
use super::document::{ROLLGATE, VERSION};
use super::moment::Moment;
use super::run;
use super::status::reading_object;

/// That somebody is asked.
pub fn asked(moment: &Moment, state: &RunState, inquiry: &Inquiry, program: &[&str]) -> Json {
    let key = inquiry.question.key();
    let title = run::title_of(state, key);
    let is_gate = matches!(inquiry.question, Question::Gate { .. });
    let pending = state.pending().into_iter().find(|pending| pending.question == inquiry.question);
    let number = pending.as_ref().map(|pending| pending.number);
    let ways = pending.map(|pending| approve::ways(state, &pending, program)).unwrap_or_default();
    // An answer to an old message is none to what is asked now.
    let only = number.map(|number| number.to_string());
    let next = ways.into_iter().map(|way| {
        let number = only.iter().flat_map(|number| ["--question".to_owned(), number.clone()]);
        way.argv.into_iter().chain(number).collect::<Vec<_>>()
    });
    let mut document = frame(moment, state, if is_gate { "gate_waiting" } else { "question_waiting" });
    document["node"] = json!(key.node);
    document["gate"] = json!(approve::name_of(state, key));
    document["title"] = json!(title);
    document["question"] = json!(number);
    document["text"] = json!(inquiry.text);
    document["readings"] =
        inquiry.readings.iter().map(|reading| reading_object(moment, &title, reading)).collect();
    document["next"] = next.collect();
    document
}

/// That an invocation has ended; it is `finished` where it did what it was asked.
pub fn ended(moment: &Moment, state: &RunState, exit_code: u8, why: &str, program: &[&str]) -> Json {
    let mut document = frame(moment, state, if exit_code == 0 { "finished" } else { "stopped" });
    document["node"] = json!(state.stop.as_ref().and_then(|stop| stop.key.as_ref()).map(|key| &key.node));
    document["text"] = json!(why);
    document["exit_code"] = json!(exit_code);
    document["next"] = after::next(state, program).into_iter().map(|next| next.argv).collect();
    document
}

fn frame(moment: &Moment, state: &RunState, event: &str) -> Json {
    json!({
        "format": "rollgate/notification",
        "format_version": VERSION,
        "rollgate": ROLLGATE,
        "event": event,
        "at": moment.iso(moment.now),
        "cluster": state.plan.cluster,
        "run": state.run,
        "state": state.status().word().replace('-', "_"),
        "done": run::extent(state),
        "change": state.request.change,
        "node": null,
        "gate": null,
        "title": null,
        "question": null,
        "text": "",
        "readings": [],
        "exit_code": null,
        "next": [],
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::sample;
    use super::*;
    use crate::model::event::Event;
    use crate::model::plan::Section;

    fn moment() -> Moment {
        Moment { now: sample::at(552), zone: TimeZone::UTC }
    }

    #[test]
    fn a_question_names_the_answer_that_is_its_own() {
        let key = sample::key("mq-02", Section::Drain, 2);
        let mut events = sample::events();
        events.push((550, Event::Asked { question: Question::Gate { key: key.clone() } }));
        let state = sample::state(events);
        let inquiry = Inquiry {
            question: Question::Gate { key },
            text: "Go on with mq-02?".into(),
            consequence: String::new(),
            typed: None,
            readings: vec![sample::reading(90.0, 550)],
            can_roll_back: false,
            is_unknown: false,
        };
        let told = asked(&moment(), &state, &inquiry, &["rollgate"]);
        assert_eq!(told["event"], "gate_waiting");
        assert_eq!(told["node"], "mq-02");
        assert_eq!(told["readings"][0]["value"], 90.0);
        let number = told["question"].as_u64().unwrap();
        assert_eq!(number, state.latest_seq);
        let yes: Vec<&str> = told["next"][0].as_array().unwrap().iter().filter_map(Json::as_str).collect();
        assert_eq!(yes[..2], ["rollgate", "approve"]);
        assert_eq!(yes[yes.len() - 2..], ["--question", &number.to_string()]);
    }
}
