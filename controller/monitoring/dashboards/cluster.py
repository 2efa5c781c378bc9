"""Dashboard Cluster: the reasons why accelerators do not train."""

from __future__ import annotations

from controller.monitoring.dashboards.grafana import AMBER, GREEN, GREY, RED, Dashboard, Panel, Query
from controller.monitoring.dashboards.queries import DUTY, OUTCOMES, increase, metric, quantile, total

SLOTS = (
    Panel(
        title="Slot duty",
        description="Share of the slots that ran an attempt, over the last hour.",
        unit="percentunit",
        queries=(Query(expr=DUTY, name="duty", colour=GREEN),),
        least=0,
        most=1,
        width=8,
    ),
    Panel(
        title="GPU time per hour by outcome",
        description="Accelerator seconds that ended in the hour before each point. Only `scored` ones give a score.",
        unit="s",
        queries=(Query(expr=increase("gpu_seconds_total", "outcome"), name="{{outcome}}", draw="bars"),),
        stacked=True,
        least=0,
        colours=OUTCOMES,
        width=8,
    ),
    Panel(
        title="Oldest try",
        description="Age of the try that was launched first, and what its phases may take together.",
        unit="s",
        queries=(
            Query(expr=f"time() - min({metric('oldest_launch_timestamp_seconds')})", name="age", draw="step"),
            Query(expr=total("try_limit_seconds", "campaign"), name="limit of its phases", draw="dashed", colour=RED),
        ),
        least=0,
        width=8,
    ),
)

WAITING = (
    Panel(
        title="Queueing for a machine",
        description="From launch until a machine took the try: scheduling, quota, Kueue, missing nodes.",
        unit="s",
        queries=(
            Query(expr=quantile(0.5, "phase_duration_seconds", phase="queue"), name="median", colour=GREEN),
            Query(expr=quantile(0.95, "phase_duration_seconds", phase="queue"), name="95 %", colour=AMBER),
        ),
        least=0,
        width=8,
    ),
    Panel(
        title="Starting",
        description="What the machine spent on a try outside its phases: image pull, volumes, container starts.",
        unit="s",
        queries=(
            Query(expr=quantile(0.5, "phase_duration_seconds", phase="start"), name="median", colour=GREEN),
            Query(expr=quantile(0.95, "phase_duration_seconds", phase="start"), name="95 %", colour=AMBER),
        ),
        least=0,
        width=8,
    ),
    Panel(
        title="Proposals waiting for a slot",
        description="From proposal to first launch. A queue keeps GPUs busy, but its proposals know fewer results.",
        unit="s",
        queries=(
            Query(expr=quantile(0.5, "experiment_wait_seconds"), name="median", colour=GREEN),
            Query(expr=quantile(0.95, "experiment_wait_seconds"), name="95 %", colour=AMBER),
        ),
        least=0,
        width=8,
    ),
)

WITNESSED = (
    f"{increase('witnessed_seconds_total', 'share')} "
    # Without a training in the last hour nothing is divided by nothing.
    f"/ scalar(clamp_min(sum(increase({metric('observed_training_seconds_total')}[1h])), 1))"
)

FAULTS = (
    Panel(
        title="Lost tries per hour",
        description="Lost tries by cause; each runs again. Grey: a restart, or work of higher priority.",
        queries=(Query(expr=increase("tries_lost_total", "cause"), name="{{cause}}", draw="bars"),),
        stacked=True,
        least=0,
        colours={"stopped": GREY, "preempted": GREY, "node_lost": RED},
        width=6,
    ),
    Panel(
        title="Age of the watches",
        description="Seconds since a watch last received anything. The API server sends a bookmark about every minute.",
        unit="s",
        queries=(
            Query(
                expr=f"time() - {total('watch_last_event_timestamp_seconds', 'resource')}",
                name="{{resource}}",
                draw="step",
            ),
        ),
        least=0,
        limits=((300, RED),),
        empty="no cluster",
        width=6,
    ),
    Panel(
        title="Loop lag",
        description="Seconds since the controller's loop last turned. It turns at least every second.",
        unit="s",
        queries=(
            Query(expr=f"time() - {total('loop_last_turn_timestamp_seconds', 'campaign')}", name="{{campaign}}"),
            Query(expr=total("paused", "campaign"), name="paused", draw="step", colour=RED),
        ),
        least=0,
        width=6,
    ),
    Panel(
        title="Machine while training",
        description="Mean shares of the last hour's trainings, by trusted code: waits, quota, stolen time, others.",
        unit="percentunit",
        queries=(Query(expr=WITNESSED, name="{{share}}"),),
        least=0,
        width=6,
    ),
)

CONTROLLER = (
    Panel(
        title="Kubernetes API requests",
        description="Per second, by verb and resource: a few watches, and a few writes for each try.",
        unit="reqps",
        queries=(
            Query(
                expr=(
                    "sum by (verb, resource) "
                    f"(rate({metric('kube_api_request_duration_seconds_count')}[$__rate_interval]))"
                ),
                name="{{verb}} {{resource}}",
            ),
        ),
        least=0,
        empty="no cluster",
        width=8,
    ),
    Panel(
        title="Kubernetes API answers",
        description="Per hour, by status code. 403: a right is missing; 429: throttled; error: no answer.",
        queries=(
            Query(expr=increase("kube_api_request_duration_seconds_count", "code"), name="{{code}}", draw="bars"),
        ),
        stacked=True,
        least=0,
        empty="no cluster",
        width=8,
    ),
    Panel(
        title="Kubernetes API latency",
        description="Over the last hour; watches count until their first answer.",
        unit="s",
        queries=(
            Query(expr=quantile(0.5, "kube_api_request_duration_seconds"), name="median", colour=GREEN),
            Query(expr=quantile(0.99, "kube_api_request_duration_seconds"), name="99 %", colour=AMBER),
        ),
        least=0,
        empty="no cluster",
        width=8,
    ),
)

CLUSTER = Dashboard(
    uid="autoresearch-cluster",
    title="Autoresearch / Cluster",
    description="Why GPUs do not train: queues, starts, lost nodes, a controller without connection.",
    rows=(SLOTS, WAITING, FAULTS, CONTROLLER),
)
