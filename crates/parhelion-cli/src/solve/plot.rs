//! The picture of a solve: the residual against the iteration, and who sends how much to whom in one halo exchange.
//!
//! Drawn into memory with a font that is part of the program, so that it looks the same on a machine with none.

use std::io::{self, Write};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::numbers::short_bytes;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1720, 860);
/// Width of the left half.
const CHART_WIDTH: u32 = 980;
/// Up to this many ranks each cell of the matrix carries its number.
const MOST_NUMBERED: usize = 12;
/// More ranks than this share cells, each showing the largest of its messages.
const MOST_CELLS: usize = 256;

const INK: RGBColor = RGBColor(38, 42, 51);
const SOFT: RGBColor = RGBColor(105, 112, 125);
const GRID: RGBColor = RGBColor(228, 231, 236);
const LINE: RGBColor = RGBColor(28, 94, 168);
const GOAL: RGBColor = RGBColor(200, 70, 50);
const NOTHING: RGBColor = RGBColor(246, 247, 249);

type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// What the picture shows.
pub(crate) struct Picture<'a> {
    /// One line about the run.
    pub(crate) title: &'a str,
    /// Relative residual before the first iteration and after each.
    pub(crate) residuals: &'a [f64],
    pub(crate) tolerance: f64,
    pub(crate) ranks: usize,
    /// Bytes in one exchange, from row to column: `ranks` × `ranks`, by rows.
    pub(crate) bytes: &'a [u64],
}

impl Picture<'_> {
    /// Draws the picture and writes it as PNG.
    pub(crate) fn write(&self, out: impl Write) -> io::Result<()> {
        let mut pixels = vec![255u8; (SIZE.0 * SIZE.1 * 3) as usize];
        self.draw(&mut pixels).map_err(|error| io::Error::other(error.to_string()))?;
        let mut encoder = png::Encoder::new(out, SIZE.0, SIZE.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(())
    }

    fn draw(&self, pixels: &mut [u8]) -> Drawn {
        register_fonts();
        let canvas = BitMapBackend::with_buffer(pixels, SIZE).into_drawing_area();
        canvas.fill(&WHITE)?;
        canvas.draw_text(
            self.title,
            &text(30, &INK).style(FontStyle::Bold).anchor(HPos::Left, VPos::Center),
            (40, 44),
        )?;
        let (_, below) = canvas.split_vertically(80);
        let (left, right) = below.split_horizontally(CHART_WIDTH);
        self.draw_residuals(&left)?;
        self.draw_traffic(&right)?;
        canvas.present()?;
        Ok(())
    }

    fn draw_residuals(&self, area: &Canvas<'_>) -> Drawn {
        // The axis is linear in the exponent: plotters' own logarithmic axis does not end on extreme ranges.
        let shown = self.residuals.iter().enumerate().filter(|(_, value)| value.is_finite() && **value > 0.0);
        let points: Vec<(f64, f64)> = shown.map(|(iteration, &value)| (iteration as f64, value.log10())).collect();
        let goal = self.tolerance.log10();
        let lowest = points.iter().map(|point| point.1).fold(goal, f64::min);
        let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let room = 0.04 * (highest - lowest).max(1.0);
        let range = lowest - room..highest + room;
        let last = (self.residuals.len().max(2) - 1) as f64;

        let mut chart = ChartBuilder::on(area)
            .margin_left(24)
            .margin_right(30)
            .margin_bottom(26)
            .margin_top(8)
            .x_label_area_size(76)
            .y_label_area_size(112)
            .build_cartesian_2d(0.0..last * 1.01, range)?;
        chart
            .configure_mesh()
            .axis_style(SOFT)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(text(22, &INK).plain())
            .axis_desc_style(text(24, &INK).plain())
            .x_desc("iteration")
            .y_desc("relative residual")
            .x_labels(8)
            .y_labels(12)
            .x_label_formatter(&|iteration| whole(*iteration))
            .y_label_formatter(&|value| power_of_ten(*value))
            .draw()?;

        let dashes = [(0.0, goal), (last * 1.01, goal)];
        chart.draw_series(DashedLineSeries::new(dashes, 10, 8, GOAL.stroke_width(2)))?;
        let label = format!("tolerance {:e}", self.tolerance);
        let style = text(20, &GOAL).anchor(HPos::Left, VPos::Bottom);
        chart.draw_series([EmptyElement::at((0.0, goal)) + Text::new(label, (14, -8), style)])?;

        chart.draw_series(LineSeries::new(points.iter().copied(), LINE.stroke_width(3)))?;
        if let Some(&end) = points.last() {
            chart.draw_series([Circle::new(end, 6, LINE.filled())])?;
        }
        Ok(())
    }

    fn draw_traffic(&self, area: &Canvas<'_>) -> Drawn {
        const SIDE: i32 = 560;
        let (left, top) = (96, 62);
        let cells = self.ranks.min(MOST_CELLS);
        let edge = |cell: usize| (cell as i64 * i64::from(SIDE) / cells as i64) as i32;
        let first = |cell: usize| cell * self.ranks / cells;
        let largest = self.bytes.iter().copied().max().unwrap_or(0);
        let numbered = self.ranks <= MOST_NUMBERED;

        let middle = left + SIDE / 2;
        let heading = text(24, &INK).anchor(HPos::Center, VPos::Center);
        area.draw_text("bytes in one halo exchange, to rank", &heading, (middle, 6))?;
        let sideways = text(24, &INK).turned().anchor(HPos::Center, VPos::Center);
        area.draw_text("from rank", &sideways, (left - 60, top + SIDE / 2))?;

        for row in 0..cells {
            for column in 0..cells {
                let bytes = (first(row)..first(row + 1))
                    .flat_map(|from| &self.bytes[from * self.ranks..][first(column)..first(column + 1)])
                    .copied()
                    .max()
                    .unwrap_or(0);
                let gap = i32::from(self.ranks <= 64);
                let corner = (left + edge(column), top + edge(row));
                let opposite = (left + edge(column + 1) - 1 - gap, top + edge(row + 1) - 1 - gap);
                area.draw(&Rectangle::new([corner, opposite], shade(bytes, largest).filled()))?;
                if numbered && bytes > 0 {
                    let dark = bytes as f64 > 0.45 * largest as f64;
                    let height = (SIDE / cells as i32 / 3).clamp(14, 24);
                    let style = text(height, if dark { &WHITE } else { &INK }).anchor(HPos::Center, VPos::Center);
                    let center = ((corner.0 + opposite.0) / 2, (corner.1 + opposite.1) / 2);
                    area.draw_text(&short_bytes(bytes), &style, center)?;
                }
            }
        }
        area.draw(&Rectangle::new([(left - 1, top - 1), (left + SIDE, top + SIDE)], GRID))?;

        let step = self.ranks.div_ceil(16).next_power_of_two();
        for rank in (0..self.ranks).step_by(step) {
            let cell = (rank * cells / self.ranks).min(cells - 1);
            let center = (edge(cell) + edge(cell + 1)) / 2;
            let style = text(20, &SOFT);
            area.draw_text(&rank.to_string(), &style.anchor(HPos::Center, VPos::Center), (left + center, top - 18))?;
            area.draw_text(&rank.to_string(), &style.anchor(HPos::Right, VPos::Center), (left - 10, top + center))?;
        }

        let bar = top + SIDE + 40;
        for x in 0..SIDE {
            let color = shade((x + 1) as u64, SIDE as u64);
            area.draw(&Rectangle::new([(left + x, bar), (left + x + 1, bar + 18)], color.filled()))?;
        }
        let total: u64 = self.bytes.iter().sum();
        let ends = [(HPos::Left, left, "0".to_owned()), (HPos::Right, left + SIDE, short_bytes(largest))];
        for (side, x, label) in ends {
            area.draw_text(&label, &text(20, &SOFT).anchor(side, VPos::Center), (x, bar + 38))?;
        }
        let all = format!("{} in all", short_bytes(total));
        area.draw_text(&all, &text(20, &INK).anchor(HPos::Center, VPos::Center), (middle, bar + 38))?;
        Ok(())
    }
}

/// A text style under construction; plotters' own is awkward to vary.
#[derive(Clone, Copy)]
struct Words<'a> {
    size: i32,
    color: &'a RGBColor,
    weight: FontStyle,
    turned: bool,
}

fn text(size: i32, color: &RGBColor) -> Words<'_> {
    Words { size, color, weight: FontStyle::Normal, turned: false }
}

impl<'a> Words<'a> {
    fn style(self, weight: FontStyle) -> Self {
        Self { weight, ..self }
    }

    /// Reading upwards.
    fn turned(self) -> Self {
        Self { turned: true, ..self }
    }

    fn plain(self) -> TextStyle<'a> {
        let font = FontDesc::new(FontFamily::SansSerif, f64::from(self.size), self.weight);
        let font = if self.turned { font.transform(FontTransform::Rotate270) } else { font };
        font.color(self.color)
    }

    fn anchor(self, horizontal: HPos, vertical: VPos) -> TextStyle<'a> {
        self.plain().pos(Pos::new(horizontal, vertical))
    }
}

fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            // Cannot fail: the files are those of the `dejavu` crate. If it does, drawing says that the font is missing.
            let _ = plotters::style::register_font("sans-serif", style, bytes);
        }
    });
}

/// From pale to deep blue; nothing sent is set apart from little sent.
fn shade(bytes: u64, largest: u64) -> RGBColor {
    if bytes == 0 {
        return NOTHING;
    }
    const STOPS: [(f64, f64, f64); 3] = [(214.0, 230.0, 244.0), (74.0, 144.0, 200.0), (12.0, 50.0, 110.0)];
    let place = 2.0 * bytes as f64 / largest as f64;
    let (from, to) = if place < 1.0 { (STOPS[0], STOPS[1]) } else { (STOPS[1], STOPS[2]) };
    let part = place - place.floor().min(1.0);
    let mix = |a: f64, b: f64| (a + (b - a) * part) as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// The number of an iteration, nothing for what lies between two.
fn whole(iteration: f64) -> String {
    if (iteration - iteration.round()).abs() > 1e-6 { String::new() } else { format!("{iteration:.0}") }
}

/// `10⁻³` for a whole exponent, nothing for what lies between.
fn power_of_ten(exponent: f64) -> String {
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    let exponent = exponent.round() as i32;
    let digits = format!("{exponent}").replace('-', "⁻");
    let raised = digits.chars().map(|c| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => c,
    });
    format!("10{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(residuals: &[f64], ranks: usize, bytes: &[u64]) -> Vec<u8> {
        let mut png = Vec::new();
        Picture { title: "test", residuals, tolerance: 1e-8, ranks, bytes }.write(&mut png).unwrap();
        png
    }

    #[test]
    fn any_history_and_any_number_of_ranks_can_be_drawn() {
        for ranks in [1, 2, 3, 13, 65, 300] {
            let bytes: Vec<u64> = (0..ranks * ranks).map(|i| (i as u64 * 37) % 5000).collect();
            let png = picture(&[1.0, 0.1, 1e-3, f64::NAN, 0.0, f64::INFINITY, 1e-9], ranks, &bytes);
            assert_eq!(&png[..4], b"\x89PNG");
        }
        for residuals in [&[][..], &[0.0], &[f64::NAN], &[1.0, 1e308], &[f64::MIN_POSITIVE, 5e-324]] {
            picture(residuals, 1, &[0]);
        }
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.0, 0.2, 0.8, 1.0, 197.0].map(whole), ["0", "", "", "1", "197"]);
        assert_eq!([-3.0, 0.0, 12.0, 0.5].map(power_of_ten), ["10⁻³", "10⁰", "10¹²", ""]);
    }
}
