//! `window:`: the hours in which turns may begin.

use jiff::tz::{TimeZone, db};

use super::super::mistake::meant;
use super::super::path::Path;
use super::super::raw::inventory::RawWindow;
use super::super::raw::{Mappings, Scalar};
use super::desk::Desk;
use crate::model::window::{Edge, Window};

const EDGES: &str = "a day, Mon to Sun, and a time, such as Sat 22:00; or a time alone for every day";

/// Lowers one window or several; what is wrong is noted.
pub(super) fn windows(desk: &Desk<'_>, path: &Path, raw: &Mappings<RawWindow>) -> Vec<Window> {
    match raw {
        Mappings::One(one) => window(desk, path, one).into_iter().collect(),
        Mappings::Many(many) => {
            if many.is_empty() {
                let what = format!("`{path}` is empty");
                desk.wrong(path, what, "nothing in it", "give it a window, or delete it");
            }
            let each = many.iter().enumerate();
            each.filter_map(|(number, raw)| window(desk, &path.index(number), raw)).collect()
        }
    }
}

fn window(desk: &Desk<'_>, path: &Path, raw: &RawWindow) -> Option<Window> {
    let edge = |key: &str, value: Option<&Scalar>| {
        let at = path.key(key);
        let text = desk.text(&at, desk.needed(path, key, value, EDGES)?)?;
        Edge::parse(&text)
            .map_err(|why| desk.wrong(&at, format!("`{text}` is not a value of {at}"), why, EDGES))
            .ok()
    };
    let (open, close) = (edge("open", raw.open.as_ref()), edge("close", raw.close.as_ref()));
    let zone = match &raw.zone {
        // What is frozen in a plan means the same on another machine, too.
        None => Some(TimeZone::system().iana_name().map(str::to_owned)),
        Some(zone) => known_zone(desk, &path.key("zone"), zone).map(Some),
    };
    let (open, close, zone) = (open?, close?, zone?);
    let at = path.key("close");
    if open == close {
        let what = format!("the window opens and closes {open}");
        desk.wrong(&at, what, "the same moment", "it closes at another time than it opens");
        return None;
    }
    if open.day.is_none() && close.day.is_some() {
        let help = "name the day in `open:`, too, or in neither for every day";
        desk.wrong(&at, "the window opens every day and closes on one", "this day", help);
        return None;
    }
    Some(Window { open, close, zone })
}

/// The name of a zone as the database spells it.
fn known_zone(desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<String> {
    let text = desk.text(path, value)?;
    if let Ok(zone) = TimeZone::get(text.trim()) {
        return zone.iana_name().map(str::to_owned);
    }
    let names: Vec<String> = db().available().map(|name| name.as_str().to_owned()).collect();
    let place = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wanted = place(&text.trim().replace(' ', "_"));
    let near = meant(&text, names.iter().map(String::as_str));
    let near = near.or_else(|| names.iter().map(String::as_str).find(|name| place(name) == wanted));
    let note = near.map_or_else(|| "not known".to_owned(), |near| format!("did you mean `{near}`?"));
    let help = "an IANA name, such as Europe/Madrid or UTC; without it, the zone of this machine";
    desk.wrong(path, format!("there is no time zone `{text}`"), note, help);
    None
}
