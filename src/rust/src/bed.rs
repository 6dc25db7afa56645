//! PLINK's .bed files, a block of variants at a time.

use crate::failure::Reply;
use crate::view;
use extendr_api::prelude::*;
use fastlmm_core::runtime::error::{Access, Error};
use fastlmm_core::runtime::memory::claim;
use fastlmm_core::scan::bed::{bytes, decode};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Copies of the first allele of some variants (numbered from 0), n of each, one variant after the other; missing ones are NA.
/// @noRd
#[extendr]
fn ffi_bed_read(path: &str, n: f64, variants: &[f64]) -> Reply<Vec<f64>> {
    let unreadable = |error: std::io::Error| Error::File {
        access: Access::Read,
        path: path.to_owned(),
        why: error.to_string(),
    };
    let n = view::count(n, "n")?;
    // here, and in R's hands
    claim(2.0 * n as f64 * variants.len() as f64)?;
    let mut file = File::open(path).map_err(unreadable)?;
    let variants: Vec<usize> = variants
        .iter()
        .map(|v| view::count(*v, "variants"))
        .collect::<Reply<_>>()?;
    let mut packed = vec![0; bytes(n)];
    let mut copies = Vec::with_capacity(n * variants.len());
    for variant in variants {
        let start = 3 + variant as u64 * packed.len() as u64;
        file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
        file.read_exact(&mut packed).map_err(unreadable)?;
        copies.extend(decode(&packed, n).map(|copies| copies.map_or(f64::na(), f64::from)));
    }
    Ok(copies)
}

extendr_module! {
    mod bed;
    fn ffi_bed_read;
}
