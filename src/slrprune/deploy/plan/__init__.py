"""What pruning would bring on this machine, before any training."""

from slrprune.deploy.plan.api import plan
from slrprune.deploy.plan.report import PlanReport, PlanRow, ShrunkPlan

__all__ = ["PlanReport", "PlanRow", "ShrunkPlan", "plan"]
