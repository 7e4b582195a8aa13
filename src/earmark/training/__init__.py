"""Training one network: batches, loss, schedule, checkpoints that a killed run resumes from."""
