//! Optima of one basis: length scales in a range, and the ratio of groups beside the process.

use super::window::RATIO;
use crate::gp::bounds::Range;
use crate::gp::found::{Optima, ProfilePoint};
use crate::gp::search::LengthSearch;
use crate::gp::settings::Settings;
use crate::runtime::error::Result;

/// Optima of the length scales in a range, and of the ratio of the groups if there are any.
pub(crate) fn optima(
    request: &Settings,
    search: &LengthSearch<'_>,
    groups: usize,
    start: &[f64],
    range: &Range,
) -> Result<Optima> {
    let d = range.shortest.len();
    let start = &start[..d];
    match (&request.lengths, groups, request.ard) {
        (Some(lengths), 0, _) => Ok(Optima::one(search.at(lengths)?)),
        (None, 0, false) => search.isotropic(&vec![1.0; d], range.shortest[0], range.longest[0]),
        (None, 0, true) => search.each_axis(start, range),
        (Some(lengths), _, _) => with_groups(search, lengths, range, &[]),
        (None, _, false) => with_groups(search, start, range, &[(0..d).collect()]),
        (None, _, true) => with_groups(search, start, range, &singles(d)),
    }
}

/// Each parameter by itself.
pub fn singles(d: usize) -> Vec<Vec<usize>> {
    (0..d).map(|i| vec![i]).collect()
}

/// The ratio of the groups is a further parameter, from several starts; zero is looked at by itself.
fn with_groups(search: &LengthSearch<'_>, start: &[f64], range: &Range, directions: &[Vec<usize>]) -> Result<Optima> {
    let d = start.len();
    let mut range = range.clone();
    range.shortest.push(RATIO.0);
    range.longest.push(RATIO.1);
    let directions: Vec<Vec<usize>> = directions.iter().cloned().chain([vec![d]]).collect();
    let mut locals = vec![];
    for ratio in [0.1, 1.0] {
        let start: Vec<f64> = start.iter().copied().chain([ratio]).collect();
        locals.push(search.each(&start, &range, &directions)?);
    }
    let nothing: Vec<f64> = locals[0].lengths[..d].iter().copied().chain([0.0]).collect();
    locals.push(search.at(&nothing)?);
    locals.sort_by(|a, b| a.deviance.total_cmp(&b.deviance));
    Ok(Optima {
        grid: locals.iter().map(ProfilePoint::seen).collect(),
        locals,
        width: None,
        here: None,
    })
}
