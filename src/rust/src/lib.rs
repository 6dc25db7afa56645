//! Glue between R and `fastlmm-core`: every entry point is view -> core call -> reply.

// X and K are the field's names, and the names that R sees
#![allow(non_snake_case)]

use extendr_api::prelude::*;

mod bed;
mod console;
mod ddf;
mod failure;
mod fit;
mod gp;
mod gp_joint;
mod gp_table;
mod gp_view;
mod keep;
mod kernel;
mod mix;
mod model;
mod predict;
mod profile;
mod reply;
mod reserve;
mod scan;
mod slam;
mod slam_alignment;
mod slam_basis;
mod slam_link;
mod slam_rays;
mod slam_summaries;
mod sparse;
mod view;
mod words;
mod work;

extendr_module! {
    mod fastlmm;
    use bed;
    use console;
    use ddf;
    use fit;
    use gp;
    use gp_joint;
    use keep;
    use kernel;
    use mix;
    use predict;
    use profile;
    use scan;
    use slam;
    use slam_alignment;
    use slam_basis;
    use slam_rays;
    use slam_summaries;
    use sparse;
    use words;
    use work;
}
