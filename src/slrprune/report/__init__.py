"""The run report: one HTML file that shows what a run, or several, did; see docs/report.md.

It is made from files alone: the folder of a run (docs/run_directory.md), or the records of a comparison.
"""

from slrprune.report.write import write_report

__all__ = ["write_report"]
