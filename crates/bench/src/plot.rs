//! Lines on logarithmic axes, as SVG: where growth says more than a number. A straight line at 45° is proportional.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 4] = ["#2a78c2", "#d1661c", "#3a9150", "#8a5bb5"];

/// A picture of some lines.
pub(crate) struct Plot {
    /// The file's name, without its ending.
    pub(crate) name: &'static str,
    /// What grows from left to right, and from bottom to top.
    pub(crate) axes: [&'static str; 2],
    /// Each line's name and its points, all greater than zero.
    pub(crate) lines: Vec<(&'static str, Vec<[f64; 2]>)>,
}

impl Plot {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let decades = [0, 1].map(|axis| {
            let logs = || points().map(move |point| point[axis].log10());
            let least = logs().fold(f64::INFINITY, f64::min).floor();
            (least, logs().fold(least + 1.0, f64::max).ceil())
        });
        let length = [WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN];
        let along = |axis: usize, value: f64| {
            let (least, most) = decades[axis];
            (value.log10() - least) / (most - least) * length[axis]
        };
        let place = |[x, y]: [f64; 2]| (MARGIN + along(0, x), HEIGHT - MARGIN - along(1, y));

        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='13'>\n\
             <style>text {{ fill: #444 }} line {{ stroke: #8886 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ccc }} }}</style>\n"
        );
        for axis in [0, 1] {
            let (least, most) = decades[axis];
            for decade in (least as i32)..=(most as i32) {
                let value = 10_f64.powi(decade);
                let at = along(axis, value);
                let (x, y, right, bottom) =
                    (MARGIN + at, HEIGHT - MARGIN - at, WIDTH - MARGIN, HEIGHT - MARGIN);
                let _ = if axis == 0 {
                    writeln!(
                        svg,
                        "<line x1='{x:.0}' y1='{MARGIN}' x2='{x:.0}' y2='{bottom}'/>\
                         <text x='{x:.0}' y='{:.0}' text-anchor='middle'>{}</text>",
                        bottom + 18.0,
                        mark(value)
                    )
                } else {
                    writeln!(
                        svg,
                        "<line x1='{MARGIN}' y1='{y:.0}' x2='{right}' y2='{y:.0}'/>\
                         <text x='{:.0}' y='{:.0}' text-anchor='end'>{}</text>",
                        MARGIN - 6.0,
                        y + 4.0,
                        mark(value)
                    )
                };
            }
        }
        let [across, up] = self.axes;
        let _ = writeln!(
            svg,
            "<text x='{:.0}' y='{:.0}' text-anchor='middle'>{across}</text><text x='8' y='20'>{up}</text>",
            WIDTH / 2.0,
            HEIGHT - 14.0
        );
        for (number, ((name, points), colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            let path: Vec<String> = points
                .iter()
                .map(|&point| {
                    let (x, y) = place(point);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>\
                 <text x='{}' y='{}' style='fill: {colour}'>{name}</text>",
                path.join(" "),
                MARGIN + 12.0,
                MARGIN + 18.0 * (number as f64 + 1.0)
            );
        }
        svg + "</svg>\n"
    }
}

fn mark(value: f64) -> String {
    if value >= 1e6 {
        format!("{} M", value / 1e6)
    } else if value >= 1e3 {
        format!("{},000", value / 1e3)
    } else {
        format!("{value}")
    }
}
