"""What can be known about pruning a model before any training: what rules select, and what each layer can bear."""

from slrprune.analysis.inspection import Inspection, InspectionRow, inspect_rules
from slrprune.analysis.sensitivity import LayerCurve, Sensitivity, sensitivity

__all__ = ["Inspection", "InspectionRow", "LayerCurve", "Sensitivity", "inspect_rules", "sensitivity"]
