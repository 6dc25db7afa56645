# Models that several test files look at, each fitted once.

fits <- new.env()

once <- function(name, value) {
  if (is.null(fits[[name]])) assign(name, value, envir = fits)
  fits[[name]]
}

# The same model twice: identity kernel here, lme4 there.
lme4_models <- function() {
  cake <- lme4::cake
  cake$batch <- interaction(cake$recipe, cake$replicate)
  list(
    sleepstudy = list(formula = Reaction ~ Days + (1 | Subject), data = lme4::sleepstudy),
    Penicillin = list(formula = diameter ~ sample + (1 | plate), data = lme4::Penicillin),
    Dyestuff = list(formula = Yield ~ 1 + (1 | Batch), data = lme4::Dyestuff),
    Dyestuff2 = list(formula = Yield ~ 1 + (1 | Batch), data = lme4::Dyestuff2),
    cake = list(formula = angle ~ recipe * temperature + (1 | batch), data = cake)
  )
}

lme4_pair <- function(name, method = "REML") {
  model <- lme4_models()[[name]]
  once(paste(name, method), list(
    data = model$data,
    ours = suppressMessages(fastlmm_fit(model$formula, model$data, method = method)),
    theirs = suppressMessages(lme4::lmer(
      model$formula, model$data,
      REML = method == "REML",
      control = lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12))
    ))
  ))
}

each_lme4_pair <- function(test, methods = c("REML", "ML"), models = names(lme4_models())) {
  skip_if_not_installed("lme4")
  for (name in models) for (method in methods) test(lme4_pair(name, method), paste(name, method))
}

# 30 ids with a phenotype, two or three rows each, 10 without; ids that sort differently from their order in K.
kernel_data <- function() {
  once("kernel data", local({
    set.seed(20)
    ids <- paste0("i", 1:40)
    W <- matrix(rnorm(40 * 25), 40)
    K <- (tcrossprod(W) + 2 * diag(40)) / 20
    dimnames(K) <- list(ids, ids)
    id <- sample(rep(sample(ids, 30), length.out = 75))
    data <- data.frame(id = id, x = rnorm(75), f = factor(sample(c("a", "b", "c"), 75, TRUE)), w = runif(75, 0.5, 2), o = rnorm(75))
    u <- drop(t(chol(K)) %*% rnorm(40))
    data$y <- 2 + data$x + (data$f == "b") + data$o + u[match(id, ids)] + rnorm(75) / sqrt(data$w)
    list(data = data, K = K)
  }))
}

kernel_fit <- function(method = "REML") {
  given <- kernel_data()
  once(paste("kernel", method), fastlmm_fit(
    y ~ x + f + offset(o) + (1 | id), given$data,
    K = given$K, weights = w, method = method
  ))
}

# Everything that the definition is made of, dense: y ~ N(X beta + offset, V), V = sigma2 Z K Z' + sigma2_e W^-1
dense_model <- function(fit, data, K, id = "id", weights = rep(1, nrow(data))) {
  Z <- outer(as.character(data[[id]]), rownames(K), "==") + 0
  X <- unname(model.matrix(fit))
  V <- fit$sigma2 * Z %*% K %*% t(Z) + fit$sigma2_e * diag(1 / weights)
  inverse <- solve(V)
  vcov <- solve(t(X) %*% inverse %*% X)
  y <- fit$y - fit$offset
  beta <- drop(vcov %*% t(X) %*% inverse %*% y)
  list(X = X, Z = Z, K = K, V = V, inverse = inverse, vcov = vcov, beta = beta, residual = drop(y - X %*% beta), sigma2 = fit$sigma2)
}

dense_blup <- function(m) unname(drop(m$sigma2 * m$K %*% t(m$Z) %*% m$inverse %*% m$residual))

# Prediction of x'beta + u for u with covariance `cross` (targets x ids of K) and prior variance `prior`, over sigma2
dense_prediction <- function(m, x, cross, prior) {
  C <- m$sigma2 * cross %*% t(m$Z)
  D <- x - C %*% m$inverse %*% m$X
  variance <- m$sigma2 * prior - rowSums((C %*% m$inverse) * C) + rowSums((D %*% m$vcov) * D)
  list(fit = drop(x %*% m$beta + C %*% m$inverse %*% m$residual), se.fit = sqrt(variance))
}

kernel_dense <- function(fit = kernel_fit()) {
  given <- kernel_data()
  dense_model(fit, given$data, given$K, weights = given$data$w)
}

tempfile_with <- function(ending, frame = parent.frame()) {
  path <- tempfile(fileext = ending)
  do.call(on.exit, list(bquote(unlink(.(path))), add = TRUE), envir = frame)
  path
}

# log-likelihood of kernel_fit()'s model as a function of both variances, from the definition
log_lik_of_variances <- function(fit, given) {
  m <- dense_model(fit, given$data, given$K, weights = given$data$w)
  ZKZ <- m$Z %*% m$K %*% t(m$Z)
  y <- fit$y - fit$offset
  function(sigma2, sigma2_e) {
    root <- chol(sigma2 * ZKZ + diag(sigma2_e / given$data$w))
    X <- backsolve(root, m$X, transpose = TRUE)
    z <- backsolve(root, y, transpose = TRUE)
    restricted <- fit$method == "REML"
    log_det <- 2 * sum(log(diag(root))) + if (restricted) as.numeric(determinant(crossprod(X))$modulus) else 0
    -((length(y) - restricted * ncol(X)) * log(2 * pi) + log_det + sum(lm.fit(X, z)$residuals^2)) / 2
  }
}

# its maximum with one parameter held
best_with <- function(log_lik, parameter, value) {
  held <- switch(as.character(parameter),
    .sig01 = function(t) log_lik(value^2, exp(t)),
    .sigma = function(t) log_lik(exp(t), value^2),
    h2 = function(t) log_lik(value * exp(t), (1 - value) * exp(t)),
    delta = function(t) log_lik(exp(t), value * exp(t))
  )
  grid <- seq(-12, 6, by = 0.5)
  start <- grid[which.max(vapply(grid, held, 0))]
  optimize(held, start + c(-1, 1), maximum = TRUE, tol = 1e-9)$objective
}

# Fits at the edges of what the model can say
degenerate_fit <- function(which) {
  given <- kernel_data()
  data <- given$data
  K <- given$K
  if (which == "perfect_fit") data$y <- 1 + 2 * data$x
  if (which == "explained_by_kernel") data$y <- drop(K %*% seq_len(40))[data$id]
  if (which == "confounded") K[] <- 1
  once(which, suppressMessages(suppressWarnings(fastlmm_fit(y ~ x + (1 | id), data, K = K))))
}
