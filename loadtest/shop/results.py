"""The files of a run, written when all users have stopped, so that they agree to the last request."""

import csv
import json
import signal
from pathlib import Path

from locust import events
from locust.exception import CatchResponseError
from locust.html import get_html_report
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV, StatsError
import locust.stats

# Ctrl-C and its signal end a run with its results kept. A shell that starts a program in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Locust writes its history in this folder while it runs; who follows it wants each second at once.
locust.stats.CSV_STATS_FLUSH_INTERVAL_SEC = 0


@events.init.add_listener
def _at_the_end(environment, **_):
    folder = environment.parsed_options.results
    if folder:
        environment.events.quit.add_listener(lambda **_: write(environment, Path(folder)))


def write(environment, folder):
    tables = StatsCSV(environment, PERCENTILES_TO_REPORT)
    for name, fill in [
        ("stats", tables.requests_csv),
        ("failures", tables.failures_csv),
        ("exceptions", tables.exceptions_csv),
    ]:
        with open(folder / f"{name}.csv", "w", newline="") as file:
            fill(csv.writer(file))
    report = get_html_report(environment, show_download_link=False)
    (folder / "report.html").write_text(report, encoding="utf-8")
    figures = summary(environment)
    # As Locust's own --json-file, with the distribution of each route. Asking for it empties the statistics.
    _write_json(folder / "stats.json", environment.stats.serialize_stats())
    # Last: whoever finds it finds the others whole.
    _write_json(folder / "summary.json", figures)


def _write_json(file, value):
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def summary(environment):
    stats = environment.stats
    entries = sorted(stats.entries.values(), key=lambda entry: entry.name)
    return {
        "routes": [_figures(entry) for entry in entries],
        "total": _figures(stats.total),
        "failures": [
            {"name": error.name, "error": _reason(error.error), "occurrences": error.occurrences}
            for error in stats.errors.values()
        ],
        "exceptions": [
            {"message": exception["msg"], "occurrences": exception["count"]}
            for exception in environment.runner.exceptions.values()
        ],
    }


def _reason(error):
    """Our own words about an answer, or the name of what went wrong and its words."""
    return str(error) if isinstance(error, CatchResponseError) else StatsError.parse_error(error)


def _figures(entry):
    return {
        "name": entry.name,
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "requests_per_second": entry.total_rps,
        "average_ms": entry.avg_response_time,
        "p50_ms": entry.get_response_time_percentile(0.5),
        "p95_ms": entry.get_response_time_percentile(0.95),
        "p99_ms": entry.get_response_time_percentile(0.99),
        "max_ms": entry.max_response_time,
    }
