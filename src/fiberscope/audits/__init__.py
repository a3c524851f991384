"""Auditing a network: every ReLU layer at every sample, with results that survive a crash and can be checked again."""
