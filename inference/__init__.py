"""Models on devices: what a model's manifest says, predictors, batches, scores of embeddings."""
