"""Reading raw catalogs: JSON lines, CSV, TSV and Parquet from any file system, each record with its
own bytes.
"""

from transforms.readers.contract import (
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitReport,
    Unread,
)
from transforms.readers.notes import reading_notes
from transforms.readers.registry import FORMATS, Peek, peek, read_split, rebuild
from transforms.readers.splits import ANYHOW, InputRefusedError, plan_splits

__all__ = [
    "ANYHOW",
    "FORMATS",
    "InputRefusedError",
    "InputSplit",
    "ParsedRecord",
    "Peek",
    "ReadLimits",
    "RecordRefusedError",
    "SplitReport",
    "Unread",
    "peek",
    "plan_splits",
    "read_split",
    "reading_notes",
    "rebuild",
]
