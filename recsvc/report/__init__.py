"""What a graph holds, in numbers: `build_report`; in words and tables: `recsvc.report.sections`.

`recsvc.report.page` writes both, with plots, as a page; it alone needs jinja2 and matplotlib.
"""

from recsvc.report._build import build_report
from recsvc.report._figures import Report

__all__ = ["Report", "build_report"]
