"""The checkers.

They prove a verdict from its certificate and the original weights, and share no code with the deciding part.
"""

from old_checker.verify import Verification, verify
from old_checker.verify_many import verify_many

__all__ = ["Verification", "verify", "verify_many"]
