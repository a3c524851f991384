"""The cases, grouped by what makes them hard."""
