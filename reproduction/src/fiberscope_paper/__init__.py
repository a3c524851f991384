"""The paper's figures and tables, computed anew: what ``fiberscope reproduce`` runs."""

__version__ = "0.1.0"
