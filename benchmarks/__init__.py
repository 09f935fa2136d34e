"""What things cost on this machine: `python -m benchmarks [NAME ...]`, and the tables of docs/ come out of it."""
