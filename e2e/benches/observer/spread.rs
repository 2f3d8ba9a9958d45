//! How figures spread. Pure.

use std::fmt;

/// The least, the quartiles and the most of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// The least.
    pub(crate) least: f64,
    /// The lower quartile.
    pub(crate) lower: f64,
    /// The one in the middle.
    pub(crate) median: f64,
    /// The upper quartile.
    pub(crate) upper: f64,
    /// The most.
    pub(crate) most: f64,
}

impl Spread {
    /// Of figures; not a number where there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let last = figures.len().saturating_sub(1);
        let at = |quarter: usize| figures.get(last * quarter / 4).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            lower: at(1),
            median: at(2),
            upper: at(3),
            most: at(4),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As many places as are asked for, or one.
        let places = formatter.precision().unwrap_or(1);
        let Self {
            least,
            lower,
            median,
            upper,
            most,
        } = self;
        write!(
            formatter,
            "{median:>10.places$}   {least:.places$} [{lower:.places$} {upper:.places$}] {most:.places$}"
        )
    }
}
