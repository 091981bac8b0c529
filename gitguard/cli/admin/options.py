"""Options that several admin commands have, said once."""

from __future__ import annotations

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
reason = click.option("--reason", default="", help="Why, for the audit trail.")
obligatory_reason = click.option("--reason", required=True, help="Why, for the audit trail.")
