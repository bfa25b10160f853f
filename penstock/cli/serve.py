"""`penstock serve` and `penstock up`: the server, and how it says that it is ready."""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.assemble import Penstock
from penstock.cli.ingest import read_into
from penstock.cli.session import Session
from penstock.core.errors import BadSetting
