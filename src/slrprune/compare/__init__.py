"""Every method at the same total budget: a function, its records, and tables made from them."""

from slrprune.compare.against import Against
from slrprune.compare.arm import Arm, DenseArm, MethodArm, RivalArm, RivalFactory, TuningNote
from slrprune.compare.arms import available, find, register
from slrprune.compare.block import Block, Row
from slrprune.compare.engine import Observer, check, compare
from slrprune.compare.extras import Extras
from slrprune.compare.markdown import insert, to_markdown
from slrprune.compare.plan import Plan
from slrprune.compare.record import RECORD_VERSION, RunRecord, Status, load_record, load_records
from slrprune.compare.table import blocks
from slrprune.compare.trials import tuned
from slrprune.compare.tuning import Tuning, tune
from slrprune.structures import targets
from slrprune.target import Target

__all__ = [
    "RECORD_VERSION",
    "Against",
    "Arm",
    "Block",
    "DenseArm",
    "Extras",
    "MethodArm",
    "Observer",
    "Plan",
    "RivalArm",
    "RivalFactory",
    "Row",
    "RunRecord",
    "Status",
    "Target",
    "Tuning",
    "TuningNote",
    "available",
    "blocks",
    "check",
    "compare",
    "find",
    "insert",
    "load_record",
    "load_records",
    "register",
    "targets",
    "to_markdown",
    "tune",
    "tuned",
]
