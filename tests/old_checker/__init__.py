"""The checker of certificates of the form before: it reads what deciding finds, one claim at a time.

It proves a verdict from its certificate and the original weights, and shares no code with the deciding part.
"""

from old_checker.verify import Verification, verify

__all__ = ["Verification", "verify"]
