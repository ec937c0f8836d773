"""Prints deploy/prometheus/alerts.yml as a PrometheusRule, for clusters with the Prometheus operator."""

import sys
from pathlib import Path

ALERTS = Path(__file__).parents[1] / "deploy" / "prometheus" / "alerts.yml"
HEAD = """\
# Written by `make rules` from deploy/prometheus/alerts.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: throughline
  labels: {app.kubernetes.io/name: throughline}
spec:
"""


def prometheus_rule() -> str:
    """The manifest's text."""
    lines = ALERTS.read_text().splitlines(keepends=True)
    return HEAD + "".join(line if line == "\n" else f"  {line}" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(prometheus_rule())
