"""The network: patches, model, dense inference, weights, devices."""
