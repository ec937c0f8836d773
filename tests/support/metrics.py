"""The metrics that the services declare."""

from prometheus_client import Counter, Gauge, Histogram

from throughline.kit import metrics


def declared_metrics() -> dict[str, set[str]]:
    """Series name -> its labels, of every metric of throughline/kit/metrics.py."""
    labels_of_series: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            labels = set(metric._labelnames)
            if isinstance(metric, Counter):
                labels_of_series[f"{family.name}_total"] = labels
            elif isinstance(metric, Gauge):
                labels_of_series[family.name] = labels
            else:
                labels_of_series |= {f"{family.name}_bucket": labels | {"le"}}
                labels_of_series |= {f"{family.name}_sum": labels, f"{family.name}_count": labels}
    return labels_of_series
