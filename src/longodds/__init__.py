"""longodds: compute-optimal test-time strategies for execution-grounded code generation."""

__version__ = "0.1.0"
