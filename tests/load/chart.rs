//! Latencies as a picture.

use std::path::Path;

use hdrhistogram::Histogram;
use plotters::prelude::*;

use crate::number;
use crate::tables::of_micros;

/// Told apart by people who see no red or green, too.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
];

const SIZE: (u32, u32) = (800, 480);

/// Points of a curve between two powers of ten.
const POINTS: usize = 40;

/// Latencies of one thing.
pub(crate) struct Curve {
    pub(crate) label: String,
    /// In microseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// The latency of each percentile. From left to right every tenth is as wide as all before it, so that the few slow
/// ones are seen.
pub(crate) fn draw(file: &Path, title: &str, legend: SeriesLabelPosition, curves: &[Curve]) {
    let curves: Vec<(&str, Vec<(f64, f64)>)> = curves
        .iter()
        .filter(|curve| !curve.latencies.is_empty())
        .map(|curve| (curve.label.as_str(), points(&curve.latencies)))
        .collect();
    let all = || curves.iter().flat_map(|(_, points)| points);
    let right = all().map(|(x, _)| *x).fold(100.0, f64::max);
    let top = all().map(|(_, y)| *y).fold(1.0, f64::max) * 1.5;
    // The next power of ten has a label.
    let bottom = 10_f64.powf(all().map(|(_, y)| *y).fold(top, f64::min).log10().floor());

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(14)
        .margin_right(34)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((1.0..right).log_scale(), (bottom..top).log_scale())
        .unwrap();
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("milliseconds from when the event was due")
        .x_label_formatter(&|x| percentile(*x))
        .y_label_formatter(&|y| format!("{y}"))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .light_line_style(RGBColor(238, 238, 238))
        .bold_line_style(RGBColor(208, 208, 208))
        .draw()
        .unwrap();
    for ((label, points), color) in curves.into_iter().zip(COLORS.into_iter().cycle()) {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style))
            .unwrap()
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(legend)
        .legend_area_size(28)
        .background_style(WHITE)
        .border_style(RGBColor(208, 208, 208))
        .label_font(("sans-serif", 14))
        .draw()
        .unwrap();
    area.present().unwrap();
}

/// One of how many is slower, and the milliseconds it took. Up to the slowest one of all.
fn points(latencies: &Histogram<u64>) -> Vec<(f64, f64)> {
    let count = number(usize::try_from(latencies.len()).unwrap());
    let last = (count.log10() * number(POINTS)).ceil();
    (0..)
        .map(f64::from)
        .take_while(|step| *step <= last)
        .map(|step| 10_f64.powf(step / number(POINTS)).min(count))
        .map(|one_of| {
            let micros = latencies.value_at_quantile(1.0 - 1.0 / one_of);
            (one_of, of_micros(micros.max(1)))
        })
        .collect()
}

/// The percentile that one of so many is above.
fn percentile(one_of: f64) -> String {
    format!("{} %", (100_000.0 * (1.0 - 1.0 / one_of)).round() / 1000.0)
}
