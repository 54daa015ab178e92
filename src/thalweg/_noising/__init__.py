"""Noisings of data, and predictions of what was there before: what diffusion models are made of."""
