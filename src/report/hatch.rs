//! How a block of the timeline looks: parts are told apart by stripes and dots as well as by colour, for print is
//! often grey. The stripes are dashes of broad lines and no patterns, which some printers turn into images.

use super::figure::short;
use super::markup::Markup;
use super::story::Part;

/// A place in the drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Draws a block; `title` is what a pointer on it shows.
pub(super) fn block(out: &mut Markup<'_>, part: Part, area: Area, title: &str) {
    let Area { x, y, width, height } = area;
    out.tag(format_args!("<g class=\"part {}\">", class(part)));
    if !title.is_empty() {
        out.element("title", title);
    }
    out.tag(format_args!(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
        short(x),
        short(y),
        short(width),
        short(height)
    ));
    match part {
        Part::Stage | Part::Gate => stripes(out, area, -1.0),
        Part::Rollback | Part::Failed => {
            stripes(out, area, -1.0);
            stripes(out, area, 1.0);
        }
        Part::Undrain => stripes(out, area, 0.0),
        Part::Drain => {
            lines(out, Area { x: x + 2.5, width: width - 4.0, ..area }, &[0.3]);
            lines(out, Area { x: x + 5.0, width: width - 6.5, ..area }, &[0.7]);
        }
        Part::Verify => lines(out, area, &[0.25, 0.5, 0.75]),
        Part::Precheck | Part::Upgrade | Part::Steps => {}
    }
    out.tag(format_args!("</g>\n"));
}

/// One line as broad as the block is high, dashed and leaning to a side: diagonals.
fn stripes(out: &mut Markup<'_>, area: Area, lean: f64) {
    let middle = area.y + area.height / 2.0;
    // What leans stands out at both ends by half of its height.
    let inset = area.height / 2.0 * lean.abs() + 0.4;
    let length = area.width - inset * 2.0;
    if length <= 0.0 {
        return;
    }
    let transform = match lean {
        lean if lean < 0.0 => " transform=\"skewX(-45)\"",
        lean if lean > 0.0 => " transform=\"skewX(45)\"",
        _ => "",
    };
    out.tag(format_args!(
        "<path{transform} stroke-width=\"{}\" d=\"M{} {}h{}\"/>",
        short(area.height),
        short(area.x + inset - middle * lean),
        short(middle),
        short(length)
    ));
}

/// Lines along the block at these shares of its height.
fn lines(out: &mut Markup<'_>, area: Area, shares: &[f64]) {
    if area.width <= 0.0 {
        return;
    }
    out.tag(format_args!("<path d=\""));
    for share in shares {
        let y = area.y + area.height * share;
        out.tag(format_args!("M{} {}h{}", short(area.x), short(y), short(area.width)));
    }
    out.tag(format_args!("\"/>"));
}

fn class(part: Part) -> &'static str {
    match part {
        Part::Stage => "stage",
        Part::Precheck => "precheck",
        Part::Gate => "gate",
        Part::Drain => "drain",
        Part::Upgrade => "upgrade",
        Part::Verify => "verify",
        Part::Undrain => "undrain",
        Part::Steps => "steps",
        Part::Rollback => "rollback",
        Part::Failed => "failed",
    }
}
