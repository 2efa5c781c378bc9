"""Tells machines about a campaign: Prometheus metrics, health probes, the HTTP port, Grafana dashboards.

metrics           counters and histograms that the loop feeds
snapshot_metrics  gauges read from the campaign's snapshot at each scrape
server            the HTTP port: /metrics, /healthz, /readyz, the live page, a read-only clone of the lab
dashboards        generates the chart's Grafana dashboards
"""
