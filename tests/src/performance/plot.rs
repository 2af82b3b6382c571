//! Drawings as SVG, on white, whatever page they are in; and curves over a logarithmic axis.

use anyhow::{Result, anyhow};
use plotters::chart::SeriesLabelPosition;
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 420);
/// Room above the highest point or bar, for the legend.
pub(super) const HEADROOM: f64 = 1.25;

const FONT: &str = "sans-serif";
pub(super) const CAPTION: (&str, u32) = (FONT, 20);
pub(super) const LABEL: (&str, u32) = (FONT, 14);
/// Of what is written along the axes.
pub(super) const AXES: [u32; 2] = [46, 60];

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What the plot is called, and what its axes say.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
}

/// Points joined by a line.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) color: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
}

/// Plotters' errors can't be sent between threads, as others can.
pub(super) fn failed(error: impl std::error::Error) -> anyhow::Error {
    anyhow!("drawing a plot: {error}")
}

/// What `draw` draws.
pub(super) fn drawing(draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        draw(&area)?;
        area.present().map_err(failed)?;
    }
    Ok(text + "\n")
}

/// A count as short as it can be said.
fn short(count: f64) -> String {
    match count {
        count if count >= 1e6 => format!("{} M", count / 1e6),
        count if count >= 1e3 => format!("{} k", count / 1e3),
        count => format!("{count}"),
    }
}

pub(super) fn curves(words: &Words, curves: &[Curve]) -> Result<String> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let first = points().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let top = points().map(|point| point.1).fold(1.0, f64::max);
    drawing(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(30)
            .caption(words.title, CAPTION)
            .x_label_area_size(AXES[0])
            .y_label_area_size(AXES[1])
            .build_cartesian_2d((first..last).log_scale(), 0.0..top * HEADROOM)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(words.x)
            .y_desc(words.y)
            .label_style(LABEL)
            .x_label_formatter(&|x| short(*x))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .draw()
            .map_err(failed)?;
        for curve in curves {
            let stroke = curve.color.stroke_width(2);
            let line = LineSeries::new(curve.points.iter().copied(), stroke).point_size(3);
            let drawn = chart.draw_series(line).map_err(failed)?;
            drawn
                .label(curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], stroke));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .label_font(LABEL)
            .draw()
            .map_err(failed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        assert_eq!([1.0, 1e3, 1e5, 3.5e6].map(short), ["1", "1 k", "100 k", "3.5 M"]);
    }
}
