//! Nonuniform fast Fourier transforms of real data in one to three dimensions (Barnett, Magland and af Klinteberg 2019; Dutt and Rokhlin 1993).
//!
//! ```text
//! type 1   F_k = sum_i c_i exp(-i k.x_i)                  sums over the points, for all modes k at once
//! type 2   v_i = Re sum_k w_k f_k exp(+i k.x_i)           values at all points of a real field, w_k = 1 if k_1 = 0, else 2
//! ```
//!
//! Coordinates x are phases in radians, one slice an axis, of any size; [-pi, pi) is one turn. An axis of K modes has the frequencies
//! -floor(K/2) .. ceil(K/2) - 1. Strengths c and values v are real, so F_(-k) is the conjugate of F_k: arrays of modes hold k_1 = 0 .. floor(K_1/2)
//! of the first axis and all frequencies of the others, the first axis fastest, low to high. Type 2 is the adjoint of type 1:
//! `sum_i v_i c_i = sum_k w_k Re(conj(f_k) F_k)`. A complex vector is two real ones.
//!
//! The error relative to the largest possible sum is about the tolerance. `Type1` gathers type 1 block by block, so the points need not fit into
//! memory; `Field` gives type 2 block by block. Blocks of some 10^5 points are fastest.

mod field;
mod grid;
pub(crate) mod kernel;
mod lines;
mod plan;
mod points;
pub(crate) mod spread;
mod stencil;
mod sums;

pub use field::Field;
pub use plan::Plan;
pub use points::Points;
pub use sums::Type1;
