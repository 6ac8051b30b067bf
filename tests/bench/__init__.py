"""What we are measured against: `make bench` runs each bench and writes docs/benchmarks.md. The protocol: harness."""
