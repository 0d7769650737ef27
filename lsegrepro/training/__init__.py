"""Training from image labels: batches, the training loop, and the mining of hard negatives."""
