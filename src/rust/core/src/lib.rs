//! Mixed models with a known covariance: `y ~ N(X beta, sigma2 (Z K Z' + delta W^-1))`.
//!
//! X is projected out and the data are rotated once. From then on the model is a function of one number, log delta, evaluated with plain or
//! dual numbers by the same code. Several effects, Gaussian processes, scans and the sampler stand on the same projection and rotation.
//!
//! # Modules
//!
//! A folder uses only those above it in this table.
//!
//! | folder | holds |
//! |---|---|
//! | [`runtime`] | errors, monitor and stop requests, threads, memory, counts of work, names of choices, hashes of what is stored |
//! | [`linalg`] | small dense helpers, reflectors of many columns, eigenvalues by a band, eigenvectors, pivoted Cholesky, sparse Cholesky with selected inverse, secular equation, rank-one updates of a spectrum |
//! | [`nufft`] | nonuniform fast Fourier transforms of real data |
//! | [`kernel`] | covariances: dense, factor, sparse factor, stationary, of a pedigree; known by a sparse inverse |
//! | [`rotation`] | X and Z projected out of both sides of K, decomposition, [`rotation::rotated::Rotated`]; back to random effects |
//! | [`likelihood`] | profiled REML and ML, generic in the scalar; global search over log delta; profiles, intervals, standard errors |
//! | [`lmm`] | one kernel: fit, degenerate data, many responses, variance of predictions, a fit without some columns of its factor |
//! | [`mix`] | several random effects by dense algebra |
//! | [`sparse`] | several random effects with many levels, correlated terms and known precisions, by penalised least squares |
//! | [`scan`] | candidates tested one by one or in sets against one null model; PLINK's genotypes |
//! | [`gp`] | Gaussian processes: search for length scales, standard errors, intervals; the kernel matrix of all rows |
//! | [`gp::joint`] | a process and other random effects, by the kernel matrix |
//! | [`gp::fourier`] | processes in Fourier space: one pass over the data, weights of basis functions, fields |
//! | [`slam`] | many responses that share sparse factors: Gibbs sampler |
//!
//! Each main item has a short example: [`lmm::fit::fit`], [`likelihood::profile::Profile`], [`lmm::many::fit_many`], [`kernel::low_rank::LowRank`],
//! [`scan::block()`], [`mix::MixModel`], [`gp::exact::Exact`], [`slam::Sampler`], [`nufft::Plan`].
//!
//! # Notation
//!
//! One kernel, in every engine:
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
//! | S = (Q1' H^-1 Q1)^-1, H = h K + g I | `schur` | |
//! | N' = n - rank(X) | `contrasts` | |
//!
//! Several effects ([`mix`]): theta_k = variances in scaled units, the residual's last (`theta`, R `sigma2`, `sigma2_e`); A_k = covariance of effect k between contrasts; V22 =
//! sum_k theta_k A_k (`covariance`).
//!
//! Many levels ([`sparse`]): T_r = relative factor of the covariance of an effect's terms (`t`, `factors`), `Cov(b_r) = s2 T_r T_r' (x) P_r^-1` (`sigma2_e` is s2), u = standardised
//! effects, C, A, Pen, r2 as in its formulas; Q = orthonormal basis of span(X), F = Q'V^-1 Q in units of s2.
//!
//! Scans ([`scan`]): G = candidates, cells x candidates (`g`); E, Q1 = the null model's eigenvectors and basis of span(X), by cells (`e q`); S(delta) = cross products of
//! candidates and y under the inverse covariance.
//!
//! Processes ([`gp`]): ell = length scales (`lengths`, R `lengthscale`); xi_j = h j = frequencies (`Grid::h`, `m`); F = basis functions at the rows, D = their weights, T = F'PF,
//! c = F'Py with P the projection off X (`t c`); captured = part of the process' variance that the basis holds (R `gp$captured`).
//!
//! Sampler ([`slam`]): n rows, p traits, k factors; Lambda = loadings, F = factors, B, B_F = coefficients of X and X_F (`theta` holds B and Lambda, `f`, `bf`); h_j, h_Fm = proportions on
//! the grid (`g`, `gf`: points of [`slam::Proportions`]); sigma2_j (`sigma2`); s = eigenvalues of Z K Z' (`s`);
//! C = covariates of traits, w, v = their effects on loadings and the variances of these (`covariates`, `w v`); R's `G`, `R`, `P` are covariances of traits made of these.
//!
//! # The method, formula by formula
//!
//! Numbers in brackets are those of R's `vignette("method")`. The map leads to private items too: read it by `cargo doc --document-private-items`.
//!
//! | formula | in the code |
//! |---|---|
//! | X = Q R, aliased columns left out | [`rotation::fixed_qr::Design::new`] |
//! | y2, K22, K12: both sides projected off X (1), (2), (3) | [`rotation::projection::Projection::project`], [`rotation::decomposition::Decomposition::build`] |
//! | repeats collapsed: `N^(1/2) K N^(1/2)` | [`rotation::incidence::Incidence::new`] |
//! | K22 = U Lambda U' without eigenvectors: to a band, from there to tridiagonal form, QL | [`linalg::band_reduction`], [`linalg::chase`], [`linalg::ql`] |
//! | the same with eigenvectors | [`linalg::eigen`] |
//! | the same of W W', thin SVD of the projected factor | [`rotation::thin_svd::Thin::build`] |
//! | the same of a given decomposition, X taken out direction by direction; secular equation | [`rotation::reused_eigen::Reused::build`], [`linalg::rank_one`], [`linalg::secular`] |
//! | `sum_i a_i b_i / (h lambda_i + g)` | [`linalg::weighted`] |
//! | Q(delta) and log-determinants of (4) | [`likelihood::Criterion::terms`] |
//! | -2 log L, REML (4) and ML, with its constants | [`likelihood::Criterion::deviance_at`], [`likelihood::Criterion::constant`] |
//! | beta_hat (2), Var(beta_hat) | [`likelihood::Criterion::beta`], [`likelihood::Criterion::vcov`] |
//! | S(delta) (5) | [`likelihood::Criterion::schur`] |
//! | ML without a maximum, directions left out | [`rotation::rotated::Rotated::separate_null_directions`], [`likelihood::Criterion::is_bounded`] |
//! | the whole range of delta: grid, roots of the slope, end points | [`likelihood::optimize::grid_points`], [`likelihood::optimize::DeltaGrid::optimum`] |
//! | standard errors from the observed information | [`likelihood::information::errors`] |
//! | deviance with one parameter held | [`likelihood::constrained::combine`] |
//! | REML of an ML fit, ML of a REML fit | [`likelihood::other_method::by_other_method`] |
//! | degrees of freedom of Satterthwaite, Kenward and Roger | [`likelihood::uncertainty::CoefficientUncertainty`]; of one kernel [`likelihood::ddf::uncertainty`], of several effects [`mix::uncertainty::uncertainty`], [`sparse::uncertainty::uncertainty`] |
//! | ends of profile intervals: Newton's and the Illinois method | [`likelihood::profiled::Profiled::crossing`] |
//! | u_hat = K Z' alpha | [`rotation::NullModel::blup`] |
//! | variance of a prediction, kriging with beta estimated | [`lmm::predict::variance`] |
//! | fits that have no ordinary optimum | [`lmm::degenerate::diagnose`], [`lmm::degenerate::interpolated`] |
//! | many responses: deviances on a shared grid by matrix products | [`lmm::shared_grid::Common`] |
//! | responses that lack a few rows, by the decomposition of all rows | [`lmm::left_out::LeftOut`], [`lmm::look::look`] |
//! | K without some columns of W (proximal contamination) | [`lmm::exclude::exclude`] |
//! | several effects: -2 log L, gradient and Hessian | [`mix::likelihood::MixProblem::point`], [`mix::likelihood::MixProblem::derivatives`] |
//! | V22 as a matrix; as a spectrum and factors | [`mix::dense`], [`mix::spectral`] |
//! | search over the simplex of shares, trust region | [`mix::search`], [`mix::trust`] |
//! | Lambda, C, A of penalised least squares: blocks, deviance, slopes | [`sparse::elimination`], [`sparse::rest`], [`sparse::point`], [`sparse::gradient`] |
//! | which way several effects are fitted | [`sparse::route::fit`] |
//! | inverse on the pattern of a sparse factor | [`linalg::sparse_inverse`] |
//! | scan: S(delta) of a candidate, its Cholesky factor, slopes | [`scan::candidate`] |
//! | delta anew for each candidate | [`scan::refit`], near the null model's delta by series [`scan::series`] |
//! | F of candidates x responses by two matrix products | [`scan::many::many`] |
//! | k(r), spectral density, reach and band | [`kernel::stationary::Family::correlation`], [`kernel::stationary::Family::log_density`] |
//! | exact slopes and Hessian in log ell | [`gp::second_order`], [`gp::local::Quadratic`] |
//! | coefficients from one Cholesky decomposition, what a fit checks of itself | [`gp::solution`], [`gp::many_check`] |
//! | decompositions at Chebyshev nodes of log ell, the polynomial between them | [`gp::chebyshev::Nodes`] |
//! | Fourier grid: h from the longest, m from the shortest length scale | [`gp::fourier::grid::Grid::new`] |
//! | F'F from one table of Fourier sums | [`gp::fourier::gram::Sums::gram`], the pass over the rows [`gp::fourier::sufficient::moments`] |
//! | D T D + delta I: REML, ML and slopes in weight space | [`gp::fourier::weights::WeightSpace`], its curvature [`gp::fourier::curvature`], fewer coordinates [`gp::fourier::reduced::ReducedSpace`] |
//! | the process at new places, its variance | [`gp::fourier::field::values`], [`gp::fourier::field::variances`] |
//! | a process and other effects: V, slopes, floor of the residual | [`gp::joint::problem::JointProblem::point`] |
//! | tube test of a process (arc length) | [`gp::many_search`] |
//! | nonuniform FFT: spreading kernel, deconvolution | [`nufft::kernel`], [`nufft::spread`] |
//! | sampler: theta_j given F, then (h_j, sigma2_j) jointly | [`slam::traits::draw`] |
//! | columns X_j that one trait alone has: a_j with theta_j | [`slam::Cis`] |
//! | b_Fm and h_Fm; rows of F with every U integrated out | [`slam::factors::draw_parameters`], [`slam::factors::draw`] |
//! | precisions of loadings: gamma process, horseshoe | [`slam::shrinkage::draw`] |
//! | loadings about c_j'w_m: w and its variances | [`slam::loading_means::draw`], [`slam::loading_means::draw_variances`] |
//! | `V = H K_w + (1 - H) I` along a ray of shares w | [`slam::Ray`] |
//! | several effects: (w, H, sigma2) of a trait; totals, and F given them | [`slam::ray_traits::draw`], [`slam::given_effects::draw_factors`] |
//! | values behind counts, proportions, levels and weights | [`slam::link`] |
//! | h_Fm with F integrated out | [`slam::factor_proportions::draw`] |
//! | shift, scale and swap of factors | [`slam::group_moves::draw`] |
//! | shears and rotations of pairs of factors | [`slam::mixing::draw`] |
//! | means and tables of G, R, P and correlations | [`slam::covariances::Covariances`] |
//! | rhat and effective sizes | [`slam::convergence::Judge`] |
//! | missing cells drawn; integrated out | [`slam::missing::draw`], [`slam::missing_patterns::draw_traits`] |
//! | what a set's missing cells are, given all else | [`slam::missing_completed::completed`] |
//! | gamma tails, generalised inverse Gaussian | [`slam::rng`] |

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// the map of formulas leads to private items, which the gate documents too
#![allow(rustdoc::private_intra_doc_links)]

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
pub mod sparse;
