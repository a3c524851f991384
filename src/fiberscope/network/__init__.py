"""Networks, their layers, and the domains that inputs come from."""
