"""Long runs: many transcriptions on simulated nodes, repeats, random kills. `make soak` writes docs/soak.md."""
