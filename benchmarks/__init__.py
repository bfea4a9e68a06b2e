"""What Tailwatch costs beside its peers: `uv run python -m benchmarks`."""
