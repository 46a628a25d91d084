//! [`Drawing`]s as SVG text.

use std::collections::HashMap;
use std::fmt::{self, Write};

use super::Cells;
use super::draw::{Arrow, Drawing, Shape};

/// The longer side of the picture, in its own units.
const LONG: f64 = 1000.0;
/// The shorter side is at least this part of the longer one: thin domains are stretched.
const THINNEST: f64 = 0.25;
/// Room around everything, for arrows that swing out and for the heading.
const MARGIN: f64 = 70.0;
/// What the heading takes between the margins, in a wide font: narrower scenes stand in the middle of as much.
const HEADING: f64 = 680.0;
/// The radius of a patch that is a list.
const DISC: f64 = 34.0;
/// Above this many pieces, arrows are per message.
const MANY: usize = 40;

/// Writes the picture as one SVG document.
pub(super) fn write(drawing: &Drawing, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let boxes = drawing.patches.iter().any(|p| matches!(p.parent, Cells::Space { .. }));
    let scene = if boxes { Scene::of_boxes(drawing) } else { Scene::of_lists(drawing) };
    let (width, height) = (scene.size[0].max(HEADING) + 2.0 * MARGIN, scene.size[1] + 2.0 * MARGIN);
    let left = ((scene.size[0] - HEADING) / 2.0).min(0.0).round();
    let heading = left + MARGIN;
    write!(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{left:.0} 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" text-anchor=\"middle\">\n\
         <rect x=\"{left:.0}\" width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    )?;
    let ranks = drawing.patches.iter().map(|p| p.rank).collect::<std::collections::BTreeSet<_>>().len();
    let what = if drawing.adjoint { "Adjoint halo plan" } else { "Halo plan" };
    write!(
        f,
        "<text x=\"{heading}\" y=\"26\" font-size=\"17\" text-anchor=\"start\">{what}, {} of {ranks} ranks</text>\n\
         <text x=\"{heading}\" y=\"46\" font-size=\"13\" fill=\"#555\" text-anchor=\"start\">full colour: owned; pale: halo, \
         in its owner's colour; arrows: bytes for elements of {} bytes</text>\n",
        count(drawing.patches.len(), "patch", "patches"),
        drawing.element_size
    )?;
    scene.write(drawing, f)?;
    f.write_str("</svg>\n")
}

type Point = [f64; 2];

/// Where everything is on the paper.
struct Scene<'a> {
    size: [f64; 2],
    patches: Vec<Placed<'a>>,
    by_name: HashMap<(usize, usize), usize>,
    projection: Projection,
}

struct Placed<'a> {
    shape: &'a Shape,
    /// Added to the patch's indices: what pulls it from its neighbours.
    pull: [f64; 3],
    centre: Point,
}

/// From the three drawn axes (into the picture, down, right) to paper.
struct Projection {
    scale: [f64; 2],
    /// What a step into the picture moves right and up.
    slant: [f64; 2],
    origin: Point,
    flat: bool,
}

impl Projection {
    fn apply(&self, [deep, down, right]: [f64; 3]) -> Point {
        [
            (right + self.slant[0] * deep - self.origin[0]) * self.scale[0] + MARGIN,
            (down - self.slant[1] * deep - self.origin[1]) * self.scale[1] + MARGIN,
        ]
    }
}

/// A box on the three drawn axes.
#[derive(Clone, Copy)]
struct Solid {
    start: [f64; 3],
    end: [f64; 3],
}

impl Solid {
    /// The last three axes of `cells`; axes that are not there are one cell long.
    fn of(cells: &Cells) -> Self {
        let mut solid = Solid { start: [0.0; 3], end: [1.0; 3] };
        let ranges: Vec<(i64, i64)> = cells.ranges().collect();
        for (a, &(start, end)) in (0..3).rev().zip(ranges.iter().rev()) {
            (solid.start[a], solid.end[a]) = (start as f64, end as f64);
        }
        solid
    }

    fn moved(self, by: [f64; 3]) -> Self {
        Solid { start: add(self.start, by), end: add(self.end, by) }
    }

    fn centre(&self) -> [f64; 3] {
        std::array::from_fn(|a| (self.start[a] + self.end[a]) / 2.0)
    }

    fn corners(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        (0..8usize).map(|bits| std::array::from_fn(|a| if bits >> a & 1 == 1 { self.end[a] } else { self.start[a] }))
    }
}

fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| a[i] + b[i])
}

/// What a patch is placed by: the cells it owns, else all it holds.
fn hull(shape: &Shape) -> Cells {
    let owned = shape.owned.iter().copied().reduce(|a, b| a.hull(&b));
    owned.unwrap_or(shape.parent)
}

fn core(shape: &Shape) -> Solid {
    Solid::of(&hull(shape))
}

impl<'a> Scene<'a> {
    fn of_boxes(drawing: &'a Drawing) -> Self {
        let axes = drawing.patches.iter().map(|p| p.parent.ranges().count()).max().unwrap_or(0);
        let whole: Vec<&Shape> = drawing.patches.iter().filter(|p| p.whole).collect();
        // Pulled apart until the parent spaces of neighbours do not overlap, within reason.
        let spread: [f64; 3] = std::array::from_fn(|a| {
            let needed = whole.iter().map(|p| {
                let (core, parent) = (core(p), Solid::of(&p.parent));
                let (inner, outer) = (core.end[a] - core.start[a], parent.end[a] - parent.start[a]);
                (1.1 * outer + 0.2) / inner.max(1.0)
            });
            // A neighbour that is only known in part is as near as its halo is wide: twice the way.
            let partial = if whole.len() < drawing.patches.len() { 2.0 } else { 1.0 };
            1.0 + partial * (needed.fold(1.0, f64::max).min(4.0) - 1.0)
        });
        // The axis before the drawn three, if there is one, in units of the thinnest patch along it.
        let first = |p: &Shape| hull(p).ranges().next().map_or([0.0; 2], |(start, end)| [start as f64, end as f64]);
        let thinnest = whole.iter().map(|p| first(p)[1] - first(p)[0]).filter(|&x| x > 0.0).fold(f64::MAX, f64::min);
        let right: Vec<f64> = whole.iter().flat_map(|p| [core(p).start[2], core(p).end[2]]).collect();
        let width = spread[2] * (fold(&right, f64::max) - fold(&right, f64::min));
        let pull = |p: &Shape| {
            let centre = core(p).centre();
            let mut pull: [f64; 3] = std::array::from_fn(|a| (spread[a] - 1.0) * centre[a]);
            if axes == 4 {
                pull[2] += first(p)[0] / thinnest * 1.6 * width;
            }
            pull
        };
        let flat = axes < 3;
        let slant = if flat { [0.0; 2] } else { [0.5, 0.4] };
        let mut projection = Projection { scale: [1.0; 2], slant, origin: [0.0; 2], flat };
        let points: Vec<Point> = drawing
            .patches
            .iter()
            .flat_map(|p| Solid::of(&p.parent).moved(pull(p)).corners().collect::<Vec<_>>())
            .map(|corner| projection.apply(corner))
            .collect();
        let low: Point = std::array::from_fn(|i| points.iter().map(|p| p[i]).fold(f64::MAX, f64::min));
        let high: Point = std::array::from_fn(|i| points.iter().map(|p| p[i]).fold(f64::MIN, f64::max));
        let extent: Point = std::array::from_fn(|i| (high[i] - low[i]).max(1e-9));
        let longest = extent[0].max(extent[1]);
        let size = extent.map(|x| LONG * (x / longest).max(THINNEST));
        projection.scale = std::array::from_fn(|i| size[i] / extent[i]);
        projection.origin = std::array::from_fn(|i| low[i] - MARGIN);
        let patches = drawing.patches.iter().map(|shape| {
            let pull = pull(shape);
            Placed { shape, pull, centre: projection.apply(core(shape).moved(pull).centre()) }
        });
        Scene { size, patches: patches.collect(), by_name: names(drawing), projection }
    }

    fn of_lists(drawing: &'a Drawing) -> Self {
        let count = drawing.patches.len().max(1) as f64;
        let radius = LONG / 2.0 - DISC;
        let place = |(n, shape)| {
            let angle = std::f64::consts::TAU * n as f64 / count - std::f64::consts::FRAC_PI_2;
            let centre = [angle.cos(), angle.sin()].map(|x| MARGIN + LONG / 2.0 + radius * x);
            Placed { shape, pull: [0.0; 3], centre }
        };
        Scene {
            size: [LONG; 2],
            patches: drawing.patches.iter().enumerate().map(place).collect(),
            by_name: names(drawing),
            projection: Projection { scale: [1.0; 2], slant: [0.0; 2], origin: [0.0; 2], flat: true },
        }
    }

    fn write(&self, drawing: &Drawing, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Boxes behind others first.
        let mut order: Vec<usize> = (0..self.patches.len()).collect();
        let depth = |i: usize| core(self.patches[i].shape).moved(self.patches[i].pull).centre();
        order.sort_by(|&i, &j| {
            let (a, b) = (depth(i), depth(j));
            b[0].total_cmp(&a[0]).then(b[1].total_cmp(&a[1])).then(a[2].total_cmp(&b[2]))
        });
        let mut halos: HashMap<usize, Vec<(Cells, usize)>> = HashMap::new();
        for arrow in &drawing.arrows {
            let (owner, halo) = if drawing.adjoint { (arrow.to, arrow.from) } else { (arrow.from, arrow.to) };
            if let Some(&at) = self.by_name.get(&(halo.rank, halo.patch)) {
                halos.entry(at).or_default().push((halo.cells, owner.rank));
            }
        }
        for &i in &order {
            self.write_patch(i, halos.get(&i).map_or(&[], Vec::as_slice), f)?;
        }
        self.write_arrows(drawing, f)?;
        for placed in &self.patches {
            let (shape, [x, y]) = (placed.shape, placed.centre);
            let several = self.patches.iter().any(|p| p.shape.rank == shape.rank && p.shape.patch != shape.patch);
            let patch = if several { format!(" · {}", shape.patch) } else { String::new() };
            text(f, [x, y + 5.0], 15, "#111", &format!("rank {}{patch}", shape.rank))?;
        }
        Ok(())
    }

    fn write_patch(&self, i: usize, halo: &[(Cells, usize)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Placed { shape, pull, centre } = &self.patches[i];
        let name = format!("rank {}, patch {}: {}", shape.rank, shape.patch, shape.parent);
        let dashes = if shape.whole { "" } else { " stroke-dasharray=\"5 4\"" };
        if let Cells::List(_) = shape.parent {
            return writeln!(
                f,
                "<g><title>{name}</title><circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{DISC}\" fill=\"{}\" stroke=\"#333\"{dashes}/></g>",
                centre[0],
                centre[1],
                colour(shape.rank, 75)
            );
        }
        writeln!(f, "<g><title>{name}</title>")?;
        if self.projection.flat {
            self.faces(Solid::of(&shape.parent).moved(*pull), "none", "#999", dashes, f)?;
        }
        for (cells, owner) in halo {
            let style = " fill-opacity=\"0.55\"";
            self.faces(Solid::of(cells).moved(*pull), &colour(*owner, 82), "#aaa", style, f)?;
        }
        for cells in &shape.owned {
            let style = if self.projection.flat { dashes } else { " fill-opacity=\"0.8\"" };
            self.faces(Solid::of(cells).moved(*pull), &colour(shape.rank, 65), "#333", style, f)?;
        }
        f.write_str("</g>\n")
    }

    /// The sides of a box that face the reader.
    fn faces(&self, solid: Solid, fill: &str, stroke: &str, style: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Solid { start: [d0, y0, x0], end: [d1, y1, x1] } = solid;
        let front = [[d0, y0, x0], [d0, y0, x1], [d0, y1, x1], [d0, y1, x0]];
        let top = [[d0, y0, x0], [d0, y0, x1], [d1, y0, x1], [d1, y0, x0]];
        let side = [[d0, y0, x1], [d1, y0, x1], [d1, y1, x1], [d0, y1, x1]];
        let shown: &[[[f64; 3]; 4]] = if self.projection.flat { &[front] } else { &[top, side, front] };
        for face in shown {
            let mut points = String::new();
            for corner in face {
                let [x, y] = self.projection.apply(*corner);
                write!(points, "{x:.1},{y:.1} ")?;
            }
            writeln!(f, "<polygon points=\"{}\" fill=\"{fill}\" stroke=\"{stroke}\"{style}/>", points.trim_end())?;
        }
        Ok(())
    }

    fn write_arrows(&self, drawing: &Drawing, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_piece = drawing.arrows.len() <= MANY && self.projection.flat;
        let centre = |end: &super::draw::End| {
            let placed = self.by_name.get(&(end.rank, end.patch)).map(|&i| &self.patches[i])?;
            Some(match end.cells {
                Cells::Space { .. } if per_piece => {
                    self.projection.apply(Solid::of(&end.cells).moved(placed.pull).centre())
                }
                _ => placed.centre,
            })
        };
        let mut messages: Vec<(Point, Point, usize, usize)> = Vec::new();
        let mut known: HashMap<(usize, usize), usize> = HashMap::new();
        for Arrow { from, to } in &drawing.arrows {
            let (Some(start), Some(end)) = (centre(from), centre(to)) else { continue };
            let same = known.get(&(from.rank, to.rank)).filter(|_| !per_piece);
            match same {
                Some(&at) => messages[at].3 += from.cells.len(),
                // What a rank copies to itself shows where it lies; it is no message.
                None if !per_piece && from.rank == to.rank => {}
                None => {
                    // Between discs, where an arrow crosses their edges; between centres, where many meet, a little away.
                    let away = match (to.cells, per_piece) {
                        (Cells::List(_), _) => (DISC + 4.0) / (end[0] - start[0]).hypot(end[1] - start[1]).max(1.0),
                        (_, true) => 0.0,
                        (_, false) => 0.12,
                    };
                    let [start, end] = [[start, end], [end, start]]
                        .map(|[near, far]| std::array::from_fn(|i| near[i] + away * (far[i] - near[i])));
                    known.insert((from.rank, to.rank), messages.len());
                    messages.push((start, end, from.rank, from.cells.len()));
                }
            }
        }
        // Labels last, so that no arrow crosses them out.
        let mut labels = Vec::new();
        for (start, end, rank, cells) in messages {
            let middle = arrow(f, start, end, &colour(rank, 38))?;
            labels.push((middle, bytes(cells * drawing.element_size)));
        }
        for (at, label) in labels {
            text(f, [at[0], at[1] + 4.0], 12, "#222", &label)?;
        }
        Ok(())
    }
}

fn names(drawing: &Drawing) -> HashMap<(usize, usize), usize> {
    drawing.patches.iter().enumerate().map(|(i, p)| ((p.rank, p.patch), i)).collect()
}

fn fold(numbers: &[f64], choose: fn(f64, f64) -> f64) -> f64 {
    numbers.iter().copied().reduce(choose).unwrap_or(0.0)
}

/// A curved arrow, bent to its left so that there and back do not meet; gives its middle.
fn arrow(f: &mut fmt::Formatter<'_>, start: Point, end: Point, colour: &str) -> Result<Point, fmt::Error> {
    let along = [end[0] - start[0], end[1] - start[1]];
    let length = along[0].hypot(along[1]).max(1.0);
    let bend = (0.14 * length).clamp(6.0, 60.0) / length;
    let control =
        [(start[0] + end[0]) / 2.0 + bend * 2.0 * along[1], (start[1] + end[1]) / 2.0 - bend * 2.0 * along[0]];
    let middle = std::array::from_fn(|i| 0.25 * start[i] + 0.5 * control[i] + 0.25 * end[i]);
    // The head points as the curve ends.
    let last = [end[0] - control[0], end[1] - control[1]];
    let reach = last[0].hypot(last[1]).max(1e-9);
    let [ux, uy] = [last[0] / reach, last[1] / reach];
    let back = [end[0] - 8.0 * ux, end[1] - 8.0 * uy];
    writeln!(
        f,
        "<path d=\"M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
         <polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" fill=\"{colour}\"/>",
        start[0],
        start[1],
        control[0],
        control[1],
        back[0],
        back[1],
        end[0],
        end[1],
        back[0] - 4.0 * uy,
        back[1] + 4.0 * ux,
        back[0] + 4.0 * uy,
        back[1] - 4.0 * ux,
    )?;
    Ok(middle)
}

fn text(f: &mut fmt::Formatter<'_>, [x, y]: Point, size: u32, colour: &str, words: &str) -> fmt::Result {
    // The white behind it as a text of its own: not every program that shows SVG knows `paint-order`.
    for paint in ["fill=\"white\" stroke=\"white\" stroke-width=\"4\"", &format!("fill=\"{colour}\"")] {
        writeln!(f, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" {paint}>{words}</text>")?;
    }
    Ok(())
}

/// Neighbouring ranks get colours far apart: hues by the golden angle, at a saturation of 0.6. In numbers that every
/// program that shows SVG knows (from hue, saturation and lightness as in CSS Color 4, section 7.1).
fn colour(rank: usize, lightness: u32) -> String {
    let (hue, lightness) = ((rank as f64 * 137.508) % 360.0, f64::from(lightness) / 100.0);
    let reach = 0.6 * lightness.min(1.0 - lightness);
    let [r, g, b] = [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue / 30.0) % 12.0;
        (255.0 * (lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0))).round() as u8
    });
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `320 B`, `1.5 KiB`, `12 MiB`.
fn bytes(n: usize) -> String {
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 10.0 && value.fract() > 0.04);
    format!("{value:.digits$} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}
