//! What stands between data and traits, read from R.

use crate::failure::Reply;
use crate::view;
use crate::words::LinkName;
use extendr_api::prelude::*;
use fastlmm_core::slam::link::{Binomial, KnownPrecision, Link, NegativeBinomial, Ordinal, Poisson};
use std::sync::Arc;

/// A link for each trait, or `NULL`; R leaves them out if no trait has one.
pub fn links(data: &List, n: usize, p: usize) -> Reply<Vec<Option<Arc<dyn Link>>>> {
    let list = view::element(data, "links")?;
    if list.is_null() {
        return Ok(vec![]);
    }
    let list = view::as_list(&list, "links")?;
    view::same_length("links", list.len(), p)?;
    let one = |item: Robj| {
        if item.is_null() {
            Ok(None)
        } else {
            link(&view::as_list(&item, "links")?, n).map(Some)
        }
    };
    list.values().map(one).collect()
}

/// Data `y` and, by its kind, `known`: precisions, offsets, trials; or the number of `levels`.
fn link(list: &List, n: usize) -> Reply<Arc<dyn Link>> {
    let y = view::numbers(list, "y")?;
    view::same_length("y", y.len(), n)?;
    let known = || -> Reply<Vec<f64>> {
        let known = view::numbers(list, "known")?;
        view::same_length("known", known.len(), n)?;
        Ok(known)
    };
    Ok(match view::text(list, "family")?.parse()? {
        LinkName::Weights => Arc::new(KnownPrecision { y, w: known()? }),
        LinkName::Poisson => Arc::new(Poisson { y, offset: known()? }),
        LinkName::NegativeBinomial => Arc::new(NegativeBinomial { y, offset: known()? }),
        LinkName::Binomial => Arc::new(Binomial { y, trials: known()? }),
        LinkName::Ordinal => {
            let levels = view::count_of(list, "levels")?.max(2);
            // a level beyond the last has no ends
            let y = y.into_iter().map(|y| y.clamp(0.0, (levels - 1) as f64)).collect();
            Arc::new(Ordinal { y, levels })
        }
    })
}
