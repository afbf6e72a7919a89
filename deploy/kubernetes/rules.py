"""Prometheus's rules as its operator wants them. They are written once, in loadtest/prometheus; this copies them to
components/monitoring/rules.yaml, and check.py tells when somebody has to run it: python3 deploy/kubernetes/rules.py"""

import textwrap
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = [HERE.parent.parent / "loadtest/prometheus" / name for name in ("rules.yml", "slo.yml")]
COPY = HERE / "components/monitoring/rules.yaml"

HEAD = """\
# Made by deploy/kubernetes/rules.py from loadtest/prometheus: change them there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: store
spec:
  groups:
"""


def text():
    """What the copy should be: the groups of all sources, with their comments."""
    groups = (source.read_text().split("groups:\n", 1)[1] for source in SOURCES)
    return HEAD + textwrap.indent("\n".join(groups), "  ")


if __name__ == "__main__":
    COPY.write_text(text())
