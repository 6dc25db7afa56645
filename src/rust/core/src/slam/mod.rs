//! Many responses at once: a sparse-factor mixed model by Gibbs sampling.
//!
//! ```text
//! Y = F Lambda' + X B + Z U + E            n x p
//! F = X_F B_F + Z U_F + E_F                n x k
//! ```
//!
//! A trait's part that the factors do not explain, and each factor, has its own proportion h of variance from the random effect: with V(h) = h Z K Z' + (1 - h) I
//!
//! ```text
//! y_j - F lambda_j - X b_j ~ N(0, sigma2_j V(h_j)),   f_m - X_F b_Fm ~ N(0, V(h_Fm))
//! ```
//!
//! Everything lives in the basis of the eigenvectors of Z K Z', where V(h) is diagonal: its inverse is a column of weights for each point of the grid of proportions, and no
//! step of an iteration works on n x n numbers. U is integrated out throughout; it is drawn only where somebody asks for it. Each block of the sampler is a file:
//!
//! | file | draws |
//! |---|---|
//! | `traits` | b_j, lambda_j, then (h_j, sigma2_j) together |
//! | `cis` | coefficients of columns that one trait alone has, together with b_j and lambda_j |
//! | `trait_priors` | the same of one trait, from its sums |
//! | `factors` | b_Fm and h_Fm; F with every U integrated out |
//! | `factor_proportions` | h_Fm with F integrated out |
//! | `group_moves` | a factor along X, its scale, the order of two factors |
//! | `mixing` | shears and rotations of pairs of factors |
//! | `shrinkage` | precisions of the loadings; variances of coefficients that traits and factors share |
//! | `loading_means` | effects of covariates of the traits on loadings |
//! | `missing` | cells of Y that were not observed |
//! | `link` | values behind data that are not the traits themselves: counts, proportions, levels, weights |
//! | `linked_factors` | F given what is left of those values |
//! | `joint_cells` | values of traits that data measure together |
//! | `missing_patterns` | traits and F without those cells: they are integrated out |
//! | `missing_completed` | h_Fm and F given those cells, drawn for a moment |
//! | `effects` | U, for a draw that is kept |
//! | `rays` | several random effects: the bases in which V is diagonal; the state is in rows |
//! | `ray_effects` | what V^-1 leaves of rows, for draws that were kept |
//! | `ray_traits` | traits by their rays |
//! | `given_effects` | sums of random effects, h_Fm and F given them |
//! | `split_effects` | random effects but one |
//! | `split_factors` | h_Fm and F given these, the one integrated out |
//! | `split_traits` | the same of traits: their points and variances with F integrated out, too |
//!
//! What the draws say of G, R and P is in [`covariances`], whether chains agree in [`convergence`], which factors of all draws are the same in [`alignment`].
//!
//! Responses come in the units of `units`, which do not depend on flat effects. Random numbers come from streams that are named by seed, chain, iteration, block and place (`rng`): the same draws whatever the number of threads.

pub mod alignment;
mod basis;
mod chain;
pub(crate) mod cis;
#[cfg(test)]
mod cis_check;
#[cfg(test)]
mod conditionals;
pub mod convergence;
#[cfg(test)]
mod coordinate_check;
pub mod covariances;
mod design_in_rows;
mod effects;
pub(crate) mod factor_proportions;
pub(crate) mod factors;
#[cfg(test)]
mod failed_check;
mod few_columns;
mod gaussian;
pub(crate) mod given_effects;
pub(crate) mod group_moves;
mod joint_cells;
pub mod link;
#[cfg(test)]
mod linked_check;
mod linked_factors;
pub(crate) mod loading_means;
pub(crate) mod missing;
#[cfg(test)]
mod missing_check;
pub(crate) mod missing_completed;
pub(crate) mod missing_patterns;
pub(crate) mod mixing;
mod model;
mod normals;
mod precisions;
mod prior;
#[cfg(test)]
mod prior_density;
#[cfg(test)]
mod proportions_check;
pub mod ray_effects;
pub(crate) mod ray_traits;
mod rays;
pub mod rng;
mod sampler;
pub(crate) mod shrinkage;
#[cfg(test)]
mod split_check;
pub(crate) mod split_effects;
pub(crate) mod split_factors;
pub(crate) mod split_traits;
mod state;
pub(crate) mod trait_priors;
pub(crate) mod traits;
pub mod units;

pub use basis::{Basis, Between, Groups};
pub use chain::Chain;
pub use cis::Cis;
pub use loading_means::{LoadingEffects, LoadingMeans};
pub use model::{Data, FactorModel, Proportions, Set};
pub use prior::{Coefficient, InverseGamma, Loadings, Prior, Variance};
pub use rays::{Ray, covariance_of_rows};
pub use sampler::{Draws, Sampler};
pub use state::{Failed, State};
