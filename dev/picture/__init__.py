"""A picture of the chart's Grafana dashboard for the docs: run by hand, needed by nothing else."""
