//! Bars in groups, with what is aimed at across each group.

use std::ops::Range;

use anyhow::Result;
use plotters::chart::SeriesLabelPosition;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::plot::{AXES, CAPTION, HEADROOM, LABEL, Words, drawing, failed};

/// Bars of one colour, one in each group; `None` leaves its place empty.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) color: RGBColor,
    pub(super) values: Vec<Option<f64>>,
}

pub(super) struct Groups {
    pub(super) names: Vec<String>,
    pub(super) targets: Vec<Option<f64>>,
}

pub(super) fn bars(words: &Words, groups: &Groups, all: &[Series]) -> Result<String> {
    let values = all.iter().flat_map(|series| series.values.iter().flatten());
    let top = values.copied().fold(0.0, f64::max);
    drawing(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(words.title, CAPTION)
            .x_label_area_size(AXES[0])
            .y_label_area_size(AXES[1])
            .build_cartesian_2d(Places(groups.names.len()), 0.0..top * HEADROOM)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(words.x)
            .y_desc(words.y)
            .label_style(LABEL)
            .x_label_formatter(&|x| groups.names.get(*x as usize).cloned().unwrap_or_default())
            .draw()
            .map_err(failed)?;
        for (place, series) in all.iter().enumerate() {
            let fill = series.color.filled();
            let bars = series.bars(place, all.len());
            let drawn = chart.draw_series(bars.iter().map(|bar| Rectangle::new(bar.corners(), fill)));
            drawn
                .map_err(failed)?
                .label(series.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], fill));
            chart
                .draw_series(bars.iter().map(|bar| bar.text(groups.targets[bar.group])))
                .map_err(failed)?;
        }
        if groups.targets.iter().any(Option::is_some) {
            let stroke = BLACK.stroke_width(2);
            chart
                .draw_series(groups.lines().map(|line| PathElement::new(line, stroke)))
                .map_err(failed)?
                .label("target, at least")
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], stroke));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE)
            .label_font(LABEL)
            .draw()
            .map_err(failed)
    })
}

/// An axis of so many places of width 1, each with its mark in the middle.
struct Places(usize);

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..self.0).map(|place| place as f64 + 0.5).collect()
    }

    fn range(&self) -> Range<f64> {
        0.0..self.0 as f64
    }
}

/// Between two groups.
const GAP: f64 = 0.3;
/// What a bar fills of its share of the group.
const FILL: f64 = 0.92;

impl Groups {
    /// The targets, each across its group.
    fn lines(&self) -> impl Iterator<Item = [(f64, f64); 2]> {
        self.targets.iter().enumerate().filter_map(|(group, target)| {
            let (left, y) = (group as f64 + GAP / 2.0, (*target)?);
            Some([(left, y), (left + 1.0 - GAP, y)])
        })
    }
}

struct Bar {
    group: usize,
    left: f64,
    right: f64,
    height: f64,
}

impl Series {
    /// At one of so many places in each group.
    fn bars(&self, place: usize, places: usize) -> Vec<Bar> {
        let share = (1.0 - GAP) / places as f64;
        let bar = |(group, value): (usize, &Option<f64>)| {
            let left = group as f64 + GAP / 2.0 + share * place as f64;
            Some(Bar {
                group,
                left,
                right: left + share * FILL,
                height: (*value)?,
            })
        };
        self.values.iter().enumerate().filter_map(bar).collect()
    }
}

impl Bar {
    fn corners(&self) -> [(f64, f64); 2] {
        [(self.left, 0.0), (self.right, self.height)]
    }

    /// Over the bar and the line of its target.
    fn text(&self, target: Option<f64>) -> Text<'static, (f64, f64), String> {
        let style = TextStyle::from(LABEL).pos(Pos::new(HPos::Center, VPos::Bottom));
        let at = (
            f64::midpoint(self.left, self.right),
            self.height.max(target.unwrap_or(0.0)),
        );
        Text::new(format!("{:.2}", self.height), at, style)
    }
}
