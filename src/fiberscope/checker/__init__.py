"""Checking claims from plain data: it imports nothing of fiberscope but the errors, and searches nothing."""
