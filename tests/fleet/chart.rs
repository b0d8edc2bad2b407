//! A chart of days: requests to the Git host by the hour, and what a million events cost.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::summary::Summary;

/// GitHub's limit for a user's requests in an hour:
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
const GITHUB_HOURLY: u64 = 5_000;

const SIZE: (u32, u32) = (1_080, 480);
const THEIRS: RGBColor = RGBColor(0xb0, 0x5a, 0x2c);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const FAINT: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Of the bill's lines, in their order.
const STACK: [RGBColor; 7] = [
    RGBColor(0x1f, 0x4e, 0x79),
    RGBColor(0x2e, 0x75, 0xb6),
    RGBColor(0xa9, 0xd1, 0x8e),
    RGBColor(0xc5, 0x5a, 0x11),
    RGBColor(0xf4, 0xb1, 0x83),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0xbf, 0xbf, 0xbf),
];

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Draws it. The hours are those of the largest fleet of up to a hundred clusters, at GitHub if there is one.
pub(crate) fn draw(days: &[Summary], file: &Path) {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).unwrap();
    let (left, right) = root.split_horizontally(600);
    let shown = days.iter().filter(|day| day.clusters <= 100);
    if let Some(day) = shown.max_by_key(|day| (day.host == "github", day.events)) {
        hours(day, &left);
    }
    costs(days, &right);
    root.present().unwrap();
}

fn hours<DB: DrawingBackend>(day: &Summary, area: &DrawingArea<DB, plotters::coord::Shift>)
where
    DB::ErrorType: 'static,
{
    let hours = day.hours as usize;
    let at = |counts: &[u64], hour: usize| counts.get(hour).copied().unwrap_or_default();
    let most = day.controller_by_hour.iter().chain(&day.posts_by_hour).copied();
    let top = most.chain([GITHUB_HOURLY]).max().unwrap_or_default();
    let title = format!(
        "Requests to {} in each hour, {} Kustomizations",
        title(&day.host),
        day.size()
    );
    let mut chart = ChartBuilder::on(area)
        .caption(title, text(17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..hours as f64, 0.0..top as f64 * 1.3)
        .unwrap();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_desc("hour")
        .y_label_formatter(&|value| super::report::grouped(*value))
        .label_style(text(13))
        .draw()
        .unwrap();
    for (counts, color, name, from, to) in [
        (
            &day.controller_by_hour,
            THEIRS,
            "notification-controller, by its code",
            0.08,
            0.50,
        ),
        (&day.posts_by_hour, OURS, "this service", 0.50, 0.92),
    ] {
        let bars = (0..hours).map(|hour| {
            let x = hour as f64;
            Rectangle::new(
                [(x + from, 0.0), (x + to, at(counts, hour) as f64)],
                color.filled(),
            )
        });
        chart
            .draw_series(bars)
            .unwrap()
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    let limit = GITHUB_HOURLY as f64;
    chart
        .draw_series(LineSeries::new(
            [(0.0, limit), (hours as f64, limit)],
            INK.stroke_width(1),
        ))
        .unwrap()
        .label("GitHub's limit for one user, 5,000 an hour")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], INK));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font(text(13))
        .draw()
        .unwrap();
}

fn costs<DB: DrawingBackend>(days: &[Summary], area: &DrawingArea<DB, plotters::coord::Shift>)
where
    DB::ErrorType: 'static,
{
    let top = days
        .iter()
        .map(|day| day.per_million(day.dollars()))
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Dollars for a million events", text(17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..days.len() as f64, 0.0..top * 1.5)
        .unwrap();
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(text(13))
        .draw()
        .unwrap();
    let lines = days.first().map_or(0, |day| day.lines().count());
    let mut tops = vec![0.0; days.len()];
    for line in 0..lines {
        let color = STACK[line % STACK.len()];
        let name = days[0]
            .lines()
            .nth(line)
            .map(|line| line.what.clone())
            .unwrap_or_default();
        let bars: Vec<_> = days
            .iter()
            .zip(&mut tops)
            .enumerate()
            .map(|(index, (day, top))| {
                let bottom = *top;
                let dollars = day.lines().nth(line).map(|line| line.dollars);
                *top += day.per_million(dollars.unwrap_or_default());
                let x = index as f64;
                Rectangle::new([(x + 0.2, bottom), (x + 0.8, *top)], color.filled())
            })
            .collect();
        chart
            .draw_series(bars)
            .unwrap()
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    let centred = text(13).pos(Pos::new(HPos::Center, VPos::Bottom));
    let totals = days.iter().zip(&tops).enumerate().map(|(index, (day, top))| {
        let name = format!("${:.2}", day.per_million(day.dollars()));
        Text::new(name, (index as f64 + 0.5, *top + 0.05), centred.clone())
    });
    chart.draw_series(totals).unwrap();
    let below = text(11).pos(Pos::new(HPos::Center, VPos::Top));
    let names = days.iter().enumerate().map(|(index, day)| {
        let name = format!("{}, {}", day.size(), title(&day.host));
        Text::new(name, (index as f64 + 0.5, -0.02 * top), below.clone())
    });
    chart.draw_series(names).unwrap();
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .label_font(text(12))
        .draw()
        .unwrap();
}

fn title(host: &str) -> &str {
    match host {
        "github" => "GitHub",
        "gitlab" => "GitLab",
        other => other,
    }
}
