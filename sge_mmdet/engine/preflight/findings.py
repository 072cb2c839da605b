"""What the checks before a training find."""

from dataclasses import dataclass, field
from typing import List


@dataclass
class Findings:
    """Errors and warnings, one sentence or more each.

    Attributes:
        errors: Reasons why the training cannot run.
        warnings: Messages on likely mistakes, with which the training can run.
    """

    errors: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)

    def error(self, message: str) -> None:
        """Add an error, once."""
        if message not in self.errors:
            self.errors.append(message)

    def warn(self, message: str) -> None:
        """Add a warning, once."""
        if message not in self.warnings:
            self.warnings.append(message)
