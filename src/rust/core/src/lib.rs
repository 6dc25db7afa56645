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
//! | module | holds |
//! |---|---|
//! | `design` | pivoted Householder QR of X |
//! | `incidence`, `between` | Z: repeats collapsed to what lies between groups and within them |
//! | `split` | span(X) between and within groups, and the basis of its complement |
//! | `kernel` | covariances: checks and access |
//! | `reduce`, `way_back` | projection of both sides of K, rotation; from there back to random effects |
//! | `spectrum` | tridiagonal form, eigenvalues, rotation of a few vectors |
//! | `factor`, `thin` | a factor W in blocks, and its spectrum: cross products or thin SVD |
//! | `orthogonal`, `compress`, `secular` | a decomposition made before, X projected out of it; columns left out of a factor |
//! | `rotated` | the small object in which every kernel ends |
//! | `likelihood` | profiled REML and ML, generic in the scalar |
//! | `nufft` | nonuniform fast Fourier transforms of real data |
//! | `optimize` | global search over log delta |
//! | `degenerate` | data whose likelihood has no ordinary optimum |
//! | `fit`, `information`, `profile`, `predict` | what users ask for, and standard errors |
//! | `many` | many responses on one decomposition |
//! | `scan`, `bed` | candidates tested one by one or in sets against one null model; PLINK's genotypes |
//! | `exclude` | a fit without some columns of its factor |
//! | `mix` | several random effects |
//! | `process` | Gaussian processes: search for their length scales, standard errors, intervals; exact kernels |
//! | `fourier` | the same in Fourier space: one pass over the data, weights of basis functions, fields |
//! | `words` | names of choices |
//! | `hash` | tells whether files are what was written |

#![forbid(unsafe_code)]

pub mod bed;
pub mod between;
pub mod compress;
pub mod degenerate;
pub mod design;
pub mod error;
pub mod exclude;
pub mod factor;
pub mod fit;
pub mod fourier;
pub mod gibbs;
pub mod hash;
pub mod incidence;
mod information;
pub mod kernel;
pub mod likelihood;
pub mod linalg;
pub mod many;
pub mod mix;
pub mod monitor;
pub mod nufft;
pub mod optimize;
pub mod orthogonal;
pub mod parallel;
pub mod predict;
pub mod process;
pub mod profile;
pub mod reduce;
pub mod rotated;
pub mod scan;
pub mod secular;
pub mod spectrum;
pub mod split;
pub mod thin;
mod way_back;
pub mod words;
