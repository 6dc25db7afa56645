//! What stands between data and traits, read from R.

use crate::failure::Reply;
use crate::slam::variances;
use crate::view;
use crate::words::LinkName;
use extendr_api::prelude::*;
use faer::Mat;
use fastlmm_core::slam::link::{
    Binomial, Curves, Joint, KnownPrecision, Link, NegativeBinomial, Ordinal, Poisson, Probes,
};
use std::sync::Arc;

type Links = (Vec<Option<Arc<dyn Link>>>, Vec<Joint>);

/// A link for each trait, or `NULL`, and joint ones; R leaves them out if no trait has one.
pub fn links(data: &List, n: usize, p: usize) -> Reply<Links> {
    let list = view::element(data, "links")?;
    if list.is_null() {
        return Ok((vec![], vec![]));
    }
    let list = view::as_list(&list, "links")?;
    view::same_length("links", list.len(), p)?;
    let (mut own, mut joint) = (vec![], vec![]);
    for (first, item) in list.values().enumerate() {
        if item.is_null() {
            own.push(None);
            continue;
        }
        let item = view::as_list(&item, "links")?;
        own.push(match view::text(&item, "family")?.parse()? {
            // the first coefficient of a curve has the data of all
            LinkName::Curves => {
                let link = Arc::new(curves(&item, n)?);
                joint.push(Joint { first, link });
                None
            }
            LinkName::Coefficient => None,
            name => Some(link(name, &item, n)?),
        });
    }
    Ok((own, joint))
}

/// Data `y` and, by its kind, `known`: precisions, offsets, trials; the number of `levels`; or priors of `noise`.
fn link(name: LinkName, list: &List, n: usize) -> Reply<Arc<dyn Link>> {
    let column = |name: &'static str| -> Reply<Vec<f64>> {
        let column = view::numbers(list, name)?;
        view::same_length(name, column.len(), n)?;
        Ok(column)
    };
    let (y, known) = (|| column("y"), || column("known"));
    Ok(match name {
        LinkName::Weights => Arc::new(KnownPrecision { y: y()?, w: known()? }),
        LinkName::Poisson => Arc::new(Poisson {
            y: y()?,
            offset: known()?,
        }),
        LinkName::NegativeBinomial => Arc::new(NegativeBinomial {
            y: y()?,
            offset: known()?,
        }),
        LinkName::Binomial => Arc::new(Binomial {
            y: y()?,
            trials: known()?,
        }),
        LinkName::Ordinal => {
            let levels = view::count_of(list, "levels")?.max(2);
            // a level beyond the last has no ends
            let y = y()?.into_iter().map(|y| y.clamp(0.0, (levels - 1) as f64)).collect();
            Arc::new(Ordinal { y, levels })
        }
        LinkName::Probes => Arc::new(probes(list, n)?),
        LinkName::Curves | LinkName::Coefficient => return Err(view::missing("family")),
    })
}

/// `y` has a column for each probe, `noise` shape and scale of each.
fn probes(list: &List, n: usize) -> Reply<Probes> {
    let y = view::owned(list, "y")?;
    let noise = variances(list, "noise")?;
    view::same_length("y", y.nrows(), n)?;
    view::same_length("noise", noise.len(), y.ncols())?;
    Ok(Probes {
        y: y.transpose().to_owned(),
        noise,
        spread: f64::INFINITY,
    })
}

/// `grams` are matrices side by side, `times` says from 1 on which of them a row has.
fn curves(list: &List, n: usize) -> Reply<Curves> {
    let (fitted, all) = (view::owned(list, "fitted")?, view::owned(list, "grams")?);
    let q = fitted.ncols().max(1);
    view::same_length("fitted", fitted.nrows(), n)?;
    let start = view::owned(list, "start")?;
    view::same_length("start", start.nrows(), n)?;
    view::same_length("start", start.ncols(), q)?;
    view::same_length("grams", all.nrows(), q)?;
    view::same_length("grams", all.ncols() % q, 0)?;
    let grams: Vec<Mat<f64>> = (0..all.ncols() / q)
        .map(|at| all.subcols(at * q, q).to_owned())
        .collect();
    let times = view::indices(&view::whole(list, "times")?, grams.len(), "times")?;
    let noise = variances(list, "noise")?;
    view::same_length("times", times.len(), n)?;
    view::same_length("noise", noise.len(), 1)?;
    Ok(Curves {
        grams,
        times,
        fitted,
        start,
        left: view::number(list, "left")?,
        points: view::number(list, "points")?,
        noise: noise[0],
    })
}
