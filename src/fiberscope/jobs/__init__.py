"""Whole jobs, as the command line and Python ask for them: one path for both."""
