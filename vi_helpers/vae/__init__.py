"""The variational autoencoder: likelihoods, networks, objectives, training, storage (needs torch)."""
