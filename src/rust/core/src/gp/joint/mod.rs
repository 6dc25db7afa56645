//! A process and other random effects, by the kernel matrix of all rows:
//! `y ~ N(X beta, sigma2_0 k(distance / ell) + sum_k sigma2_k Z_k K_k Z_k' + sigma2_e W^-1)`.
//!
//! In the coordinates of `ContrastBasis`, with V22 the block of the contrasts, `a = V22^-1 y2` and V_i the slope of V in a parameter
//!
//! ```text
//! -2 log L      = log|V22| + y2' a + ...            (ML: log|V|)
//! d/di          = tr(V22^-1 V_i) - a' V_i a         (ML: tr(V^-1 V_i))
//! d2/didj about = a' V_i V22^-1 V_j a               (average information: Gilmour, Thompson and Cullis 1995)
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `problem` | the likelihood, its gradient and its average information |
//! | `descent` | a trust region from a start to the bottom of its valley |
//! | `search` | starts over the range of length scales, and from the models without one of the effects |
//! | `fit` | what the optimum means in the user's units |
//! | `profile` | curves and intervals |

pub(crate) mod descent;
pub mod fit;
pub(crate) mod problem;
pub mod profile;
pub(crate) mod search;
