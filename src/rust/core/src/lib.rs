//! Mixed models with a known covariance: `y ~ N(X beta, sigma2 (Z K Z' + delta W^-1))`.
//!
//! The data are projected away from X and rotated once. From then on the model is a cost function of one number, log delta,
//! evaluated with plain or dual numbers by the same code.
//!
//! | paper | Rust | R |
//! |---|---|---|
//! | y, X, Z, K, W (weights) | `y x z kernel weights` | `y X Z K weights` |
//! | beta, Var(beta) | `beta vcov` | `coefficients vcov` |
//! | sigma^2 (explained by K), sigma_e^2 | `sigma2 sigma2_e` | `sigma2 sigma2_e` |
//! | delta = sigma_e^2 / sigma^2 | `delta`, `log_delta` | `delta` |
//! | h^2 = sigma^2 / (sigma^2 + sigma_e^2) | `h2` | `h2` |
//! | (h, 1 - h) = (1, delta) / (1 + delta), tau^2 = sigma^2 + sigma_e^2 in scaled units | `h g tau2` | |
//! | lambda, U'y2 of K22 = U Lambda U' | `values y` | `rotated$values`, `rotated$y` |
//! | K11, K12 U | `k11 b` | `rotated$k11`, `rotated$b` |
//! | S = (Q1' H^-1 Q1)^-1 | `schur` | |
//! | N' = n - rank(X) | `contrasts` | |
//!
//! A folder uses only those above it in this table, but for `likelihood`, which still takes two helpers from `lmm::fit`.
//!
//! | folder | holds |
//! |---|---|
//! | `runtime` | errors, monitor and stop requests, threads, memory, counts of work, names of choices, hashes of what is stored |
//! | `linalg` | small dense helpers, tridiagonal form, secular equation, rank-one updates of a spectrum |
//! | `nufft` | nonuniform fast Fourier transforms of real data |
//! | `kernel` | covariances: checks and access |
//! | `rotation` | X and Z projected out of both sides of K, rotation, `Rotated`; from there back to random effects (`blup`) |
//! | `likelihood` | profiled REML and ML, generic in the scalar; global search over log delta; profiles, standard errors |
//! | `lmm` | one kernel: fit, degenerate data, many responses, predictions, a fit without some columns of its factor |
//! | `mix` | several random effects |
//! | `scan` | candidates tested one by one or in sets against one null model; PLINK's genotypes |
//! | `gp` | Gaussian processes: search for their length scales, standard errors, intervals; exact kernels |
//! | `gp::fourier` | the same in Fourier space: one pass over the data, weights of basis functions, fields |
//! | `slam` | many responses that share sparse factors: Gibbs sampler |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod gp;
pub mod kernel;
pub mod likelihood;
pub mod linalg;
pub mod lmm;
pub mod mix;
pub mod nufft;
pub mod rotation;
pub mod runtime;
pub mod scan;
pub mod slam;
