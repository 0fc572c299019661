"""Models, one a file: prior, variational state, log joint, ELBO, coordinate-ascent step, exact answers."""
