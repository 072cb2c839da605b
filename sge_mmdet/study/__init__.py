"""Studies: several configs trained with several seeds and compared."""

from .execution import FailedRun, run_study
from .plan import StudyRun, plan_study
from .report import StudyReport, report_study

__all__ = [
    'FailedRun',
    'StudyReport',
    'StudyRun',
    'plan_study',
    'report_study',
    'run_study',
]
