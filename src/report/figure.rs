//! The timeline as SVG: a row for each node, a block for what took time, a numbered mark for what a reader asks
//! about; under it, on the same axis, what the gates read.

use super::Mask;
use super::axis::Axis;
use super::hatch::{self, Area};
use super::mark::{Kind, Mark};
use super::markup::Markup;
use super::plot;
use super::story::{Block, Invocation, Part, Story};
use crate::model::duration::between;
use crate::model::moment::Moment;
use crate::model::name::NodeName;
use crate::model::{run, words};

/// How wide the drawing is, in its own units.
pub(super) const WIDTH: f64 = 1100.0;
/// What is left free at the right.
pub(super) const EDGE: f64 = 16.0;
/// Where the first row begins.
const TOP: f64 = 44.0;
/// Of a longer name the beginning is drawn.
const NAME: usize = 30;
/// The narrowest block that can be seen.
const NARROW: f64 = 1.2;

const STYLE: &str = include_str!("figure.css");

/// Draws a run. A drawing that is a file of its own says of which kind it is.
pub(super) fn svg(story: &Story<'_>, moment: &Moment, mask: Mask<'_>, alone: bool) -> String {
    let lanes = story.lanes();
    let row = match lanes.len() {
        0..=30 => 20.0,
        31..=40 => 15.0,
        _ => 13.0,
    };
    let longest = lanes.iter().map(|lane| lane.as_str().chars().count()).max().unwrap_or(0).min(NAME);
    let left = (longest as f64 * 6.6 + 14.0).max(70.0);
    let spans: Vec<_> = story.invocations.iter().map(|invocation| (invocation.from, invocation.to)).collect();
    let axis = Axis::new(&spans, left, WIDTH - EDGE);
    let bottom = TOP + row * lanes.len() as f64;
    let plots = plot::plots(&story.curves, bottom + 34.0);
    let height = plots.last().map_or(bottom + 30.0, |plot| plot.bottom() + 10.0);
    let mut drawing = Drawing { story, moment, axis, row, left, bottom, out: Markup::new(mask) };
    drawing.begin(height, alone, &lanes);
    drawing.frame(&lanes, plots.last().map_or(bottom, plot::Plot::bottom));
    drawing.blocks(&lanes);
    drawing.marks(&lanes);
    drawing.legend();
    for plot in &plots {
        plot.draw(&mut drawing.out, &drawing.axis, left);
    }
    drawing.out.tag(format_args!("</svg>\n"));
    drawing.out.done()
}

/// A length as a drawing needs it: a tenth of a unit is less than a pixel.
pub(super) fn short(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

struct Drawing<'a> {
    story: &'a Story<'a>,
    moment: &'a Moment,
    axis: Axis,
    row: f64,
    left: f64,
    bottom: f64,
    out: Markup<'a>,
}

impl Drawing<'_> {
    fn begin(&mut self, height: f64, alone: bool, lanes: &[&NodeName]) {
        if alone {
            self.out.tag(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
        }
        // Above the times there are words on stops, if there are any.
        let top = if self.axis.stops().iter().any(|stop| stop.is_break) { 0.0 } else { TOP - 20.0 };
        let namespace = if alone { " xmlns=\"http://www.w3.org/2000/svg\"" } else { "" };
        self.out.tag(format_args!(
            "<svg{namespace} class=\"rg\" role=\"img\" aria-labelledby=\"rg-title rg-desc\" \
             viewBox=\"0 {top} {} {}\">",
            short(WIDTH),
            short(height - top)
        ));
        let title = format!("Timeline of run {} of {}.", self.story.state.run, self.story.state.plan.cluster);
        self.out.element("title id=\"rg-title\"", &title);
        self.out.element("desc id=\"rg-desc\"", &describe(self.story, self.moment, lanes.len()));
        self.out.tag(format_args!("<style>\n{STYLE}</style>\n"));
        if alone {
            self.out.tag(format_args!(
                "<path d=\"M0 0H{}V{}H0z\" fill=\"#fff\"/>",
                short(WIDTH),
                short(height)
            ));
        }
    }

    /// Everything that lies under the blocks: the times at work, stops, ticks, names.
    fn frame(&mut self, lanes: &[&NodeName], ticks_to: f64) {
        let right = WIDTH - EDGE;
        let height = self.bottom - TOP;
        self.rect("busy", self.left, TOP, right - self.left, height);
        for tick in self.axis.ticks(&self.moment.zone) {
            self.line("tick", (tick.x, TOP - 4.0), (tick.x, ticks_to));
            // A label in the middle of the last one would be cut off at the edge.
            let class = if tick.x > right - EDGE { "s e" } else { "s c" };
            self.label(class, tick.x.min(WIDTH), TOP - 8.0, &tick.label);
        }
        for (number, lane) in lanes.iter().enumerate() {
            let y = TOP + self.row * number as f64;
            self.line("row", (0.0, y + self.row), (right, y + self.row));
            let name = self.out.masked(lane.as_str());
            let shown = match name.char_indices().nth(NAME) {
                Some((cut, _)) => format!("{}\u{2026}", &name[..cut]),
                None => name,
            };
            self.label("e", self.left - 6.0, y + self.row / 2.0 + 4.0, &shown);
        }
        let ends = self.story.invocations.iter().map(Invocation::end_word);
        for (stop, end) in self.axis.stops().into_iter().zip(ends) {
            self.rect("stop", stop.left, TOP, stop.right - stop.left, height);
            if stop.is_break {
                let middle = f64::midpoint(stop.left, stop.right);
                for x in [middle - 3.0, middle + 3.0] {
                    self.line("axis", (x - 3.0, TOP + 5.0), (x + 3.0, TOP - 5.0));
                }
                self.label("s c", middle, TOP - 32.0, end);
                self.label("s c", middle, TOP - 21.0, &words::total(stop.length));
            }
        }
        self.line("axis", (self.left, TOP), (right, TOP));
    }

    fn blocks(&mut self, lanes: &[&NodeName]) {
        for (number, lane) in lanes.iter().enumerate() {
            let y = TOP + self.row * number as f64 + 2.0;
            for block in joined(self.story, lane, &self.axis) {
                let (from, to) = (self.axis.x(block.from), self.axis.x(block.to));
                let narrowest = if block.part == Part::Failed { NARROW * 3.0 } else { NARROW };
                let width = (to - from).max(narrowest);
                let took = words::elapsed(between(block.from, block.to));
                let title = format!("{lane}: {}, {took}", block.part.word());
                let area = Area { x: from, y, width, height: self.row - 4.0 };
                hatch::block(&mut self.out, block.part, area, &title);
            }
        }
    }

    /// The numbers, over their blocks where there is room, else beside them: what was done must stay visible.
    fn marks(&mut self, lanes: &[&NodeName]) {
        let radius = (self.row / 2.0 - 1.0).min(7.5);
        for (number, lane) in lanes.iter().enumerate() {
            let marks: Vec<&Mark> = self.story.marks.iter().filter(|mark| mark.node == **lane).collect();
            let y = TOP + self.row * (number as f64 + 0.5);
            let half = |mark: &Mark| radius.max(mark.number.to_string().len() as f64 * 3.3 + 2.0);
            let needed: f64 = marks.iter().map(|mark| half(mark) * 2.0 + 1.0).sum();
            let (first, last) = self.extent(lane);
            let is_full = last > first && needed > (last - first) / 2.0;
            let beside = [last + 4.0, first - needed - 4.0];
            let fits = |place: &f64| *place >= self.left && place + needed <= WIDTH;
            let aside = beside.into_iter().find(fits).filter(|_| is_full);
            let mut free = aside.unwrap_or(f64::NEG_INFINITY);
            for mark in marks {
                let (at, half) = (self.axis.x(mark.at), half(mark));
                // Of two at the same moment the later one moves on.
                let x = if aside.is_some() { free + half } else { at.max(free + half) };
                let x = x.min(WIDTH - half);
                free = x + half + 1.0;
                if aside.is_some() {
                    self.line("pin", (at, y - radius), (at, y + radius));
                }
                self.mark(mark, (x, y), half, radius);
            }
        }
    }

    /// From where to where a row has blocks.
    fn extent(&self, lane: &NodeName) -> (f64, f64) {
        let of = self.story.blocks.iter().filter(|block| block.node == *lane);
        of.fold((f64::INFINITY, f64::NEG_INFINITY), |(first, last), block| {
            (first.min(self.axis.x(block.from)), last.max(self.axis.x(block.to)))
        })
    }

    fn mark(&mut self, mark: &Mark, (x, y): (f64, f64), half: f64, radius: f64) {
        let class = mark.kind.word();
        self.out.tag(format_args!("<g><title>{}: ", mark.number));
        self.out.text(&mark.what);
        self.out.tag(format_args!(
            "</title><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>\
             <text class=\"{} c\" x=\"{}\" y=\"{}\">{}</text></g>\n",
            short(x - half),
            short(y - radius),
            short(half * 2.0),
            short(radius * 2.0),
            // Without colour a failure has corners.
            if mark.kind == Kind::Failure { "1".to_owned() } else { short(radius) },
            if radius < 7.0 { "t" } else { "s" },
            short(x),
            short(y + radius * 0.46),
            mark.number
        ));
    }

    /// The parts that occur, each with its pattern.
    fn legend(&mut self) {
        let mut x = self.left;
        let y = self.bottom + 10.0;
        for part in Part::ALL {
            if !self.story.blocks.iter().any(|block| block.part == part) {
                continue;
            }
            hatch::block(&mut self.out, part, Area { x, y, width: 22.0, height: 10.0 }, "");
            self.label("s", x + 26.0, y + 9.0, part.word());
            x += 26.0 + part.word().len() as f64 * 5.6 + 16.0;
        }
        if self.axis.stops().is_empty() {
            return;
        }
        self.rect("stop", x, y, 22.0, 10.0);
        self.label("s", x + 26.0, y + 9.0, "nobody at work");
    }

    fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let [x, y, width, height] = [x, y, width, height].map(short);
        self.out.tag(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n"
        ));
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        self.out.tag(format_args!("<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>\n"));
    }

    fn label(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.out.tag(format_args!("<text class=\"{class}\" x=\"{}\" y=\"{}\">", short(x), short(y)));
        self.out.text(text);
        self.out.tag(format_args!("</text>\n"));
    }
}

/// The blocks of a row, what failed on top; blocks of one part that touch are one.
fn joined(story: &Story<'_>, lane: &NodeName, axis: &Axis) -> Vec<Block> {
    let mut blocks: Vec<Block> = story.blocks.iter().filter(|block| block.node == *lane).cloned().collect();
    blocks.sort_by_key(|block| (block.part == Part::Failed, block.from, block.to));
    let mut joined: Vec<Block> = Vec::new();
    for block in blocks {
        match joined.last_mut() {
            Some(last) if last.part == block.part && axis.x(block.from) - axis.x(last.to) < 0.6 => {
                last.to = last.to.max(block.to);
            }
            _ => joined.push(block),
        }
    }
    joined
}

/// The drawing in sentences, for those who do not see it.
fn describe(story: &Story<'_>, moment: &Moment, rows: usize) -> String {
    let (from, to) = (moment.iso(story.state.opened_at), moment.iso(story.until));
    let mut says = vec![
        format!(
            "{} from {from} to {to}, one for each node, with a block for all that took time.",
            words::count(rows, "row")
        ),
        format!("{} done.", run::extent(story.state)),
    ];
    if story.invocations.len() > 1 {
        says.push(format!("The work was interrupted {}.", words::count(story.invocations.len() - 1, "time")));
    }
    if !story.marks.is_empty() {
        let marks = words::count(story.marks.len(), "numbered mark");
        says.push(format!("{marks} for answers, overrides and failures, listed with the drawing."));
    }
    if !story.curves.is_empty() {
        let plots = words::count(story.curves.len(), "plot");
        says.push(format!("Below, {plots} of what gates read, with the limit as a dashed line."));
    }
    says.join(" ")
}
