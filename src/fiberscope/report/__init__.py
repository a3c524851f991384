"""From findings to something a person understands: a table, and a page."""
