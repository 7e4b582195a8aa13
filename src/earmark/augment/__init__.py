"""Changes to training sounds, each drawn from an explicit generator."""
