"""The commands of ``fiberscope``, a file for each; each imports solvers and torch when it runs, so help is quick."""
