"""The commands of ``fiberscope``, a file for each; each imports solvers and torch when it runs, so help is quick."""

FINE, FAILED, ERROR = 0, 1, 2
"""The exit statuses: all well; a certificate or an example is not proved, or a threshold is passed; something went
wrong."""

__all__ = ["ERROR", "FAILED", "FINE"]
