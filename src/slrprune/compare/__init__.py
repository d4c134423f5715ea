"""Every method at the same total budget: a function, its records, and tables made from them."""

from slrprune.compare.arm import Arm, DenseArm, MethodArm, RivalArm, RivalFactory
from slrprune.compare.arms import available, find, register
from slrprune.compare.engine import Observer, compare
from slrprune.compare.markdown import insert, to_markdown
from slrprune.compare.plan import Plan
from slrprune.compare.record import RECORD_VERSION, RunRecord, Status, load_record, load_records
from slrprune.compare.table import Block, Row, blocks
from slrprune.compare.target import Target

__all__ = [
    "RECORD_VERSION",
    "Arm",
    "Block",
    "DenseArm",
    "MethodArm",
    "Observer",
    "Plan",
    "RivalArm",
    "RivalFactory",
    "Row",
    "RunRecord",
    "Status",
    "Target",
    "available",
    "blocks",
    "compare",
    "find",
    "insert",
    "load_record",
    "load_records",
    "register",
    "to_markdown",
]
