"""Studies: several configs trained with several seeds and compared."""

from .execution import FailedRun, run_study
from .plan import StudyRun, plan_study
from .power import StudyPlan, plan_sizes
from .report import StudyReport, report_figures, resample_runs

__all__ = [
    'FailedRun',
    'StudyPlan',
    'StudyReport',
    'StudyRun',
    'plan_sizes',
    'plan_study',
    'report_figures',
    'resample_runs',
    'run_study',
]
