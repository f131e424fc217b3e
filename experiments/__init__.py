"""The long runs behind data/results; each module is one table, started as python -m experiments.NAME."""
