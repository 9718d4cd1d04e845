"""The report: one self-contained HTML file."""

from .build import build_report

__all__ = ["build_report"]
