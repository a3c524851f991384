"""The paper's figures and tables, drawn from what is computed here, beside what the paper says."""
