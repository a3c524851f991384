"""Data sets: read from files, found by name, downloaded, split."""
