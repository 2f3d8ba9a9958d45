//! How figures spread. Pure.

use std::fmt;

/// Of fewer figures than this, quartiles say nothing.
const FEW: f64 = 8.0;

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
    /// How far the median may be off: twice its standard error, were the figures normal.
    pub(crate) doubt: f64,
}

impl Spread {
    /// Of figures; not a number where there are none.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let last = figures.len().saturating_sub(1);
        #[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
        let count = figures.len() as f64;
        let at = |quarter: usize| figures.get(last * quarter / 4).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            lower: at(1),
            median: at(2),
            upper: at(3),
            most: at(4),
            // Of normal figures the quartiles are 1.349 standard deviations apart, and the median's
            // error is 1.253 of them by the root of the count.
            doubt: if count < FEW {
                f64::INFINITY
            } else {
                2.0 * 1.253 * (at(3) - at(1)) / (1.349 * count.sqrt())
            },
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
            doubt: _,
        } = self;
        write!(
            formatter,
            "{median:>10.places$}   {least:.places$} [{lower:.places$} {upper:.places$}] {most:.places$}"
        )
    }
}
